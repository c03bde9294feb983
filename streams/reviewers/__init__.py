"""Second opinions on few events, slower and dearer than the agents; never inside the scoring path."""
