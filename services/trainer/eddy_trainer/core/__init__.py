"""The pure core: the model and its training. It imports nothing of the shell."""
