"""Training of the weights that the agents ship."""
