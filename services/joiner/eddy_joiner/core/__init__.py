"""The pure core: the join. It imports nothing of the shell."""
