"""The pure core: state, candidates, ranking. It imports nothing of the shell."""
