"""The released model: its records and its graphs."""
