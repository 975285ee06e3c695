"""The pure core: user and item state. It imports nothing of the shell."""
