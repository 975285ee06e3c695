"""Gives every impression exactly one label: joins recommendations with what users did afterwards."""
