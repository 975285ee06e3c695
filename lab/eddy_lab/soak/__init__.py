"""Soak: a month in fast motion on a running stack, with users and items that come and go, and the memory of every process by the minute."""
