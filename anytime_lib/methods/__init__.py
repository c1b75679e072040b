"""How is a problem put to the model? One module per method."""
