"""What the scorer knows, as arrays: items, counts, co-visitations, users."""
