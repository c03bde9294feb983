"""One module per dialect: each reads what a call was asked and answered from a span's attributes and events."""
