"""Ranking features. Each is one function in a file of this package, and one line in `eddy.contract.features`.

A file holds one feature, or a family that shares a computation. `feature.py` explains how to declare one.
"""
