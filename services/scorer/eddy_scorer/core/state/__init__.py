"""The scorer's state as arrays: items, counts, co-visitations, users."""
