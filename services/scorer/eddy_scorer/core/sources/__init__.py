"""Candidate sources. Each is one class in a file of this package, and one line in `eddy.contract.sources`.

`source.py` says what a source is. `random` and `given` are not interleaved with the others: the pipeline asks them for more.
"""
