"""The pure core: state, candidates, ranking. It does not import the shell."""
