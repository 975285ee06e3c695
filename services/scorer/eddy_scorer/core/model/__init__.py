"""The released model: its records, its graphs."""
