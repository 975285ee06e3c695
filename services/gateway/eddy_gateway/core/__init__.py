"""The pure core: what HTTP bodies mean. It imports nothing of the shell."""
