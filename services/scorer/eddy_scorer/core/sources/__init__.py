"""Candidate sources. Each is one class in a file of this package, and one line in `eddy.contract.sources`.

`source.py` defines the interface. `random` and `given` are not interleaved with the others: the pipeline calls them itself.
"""
