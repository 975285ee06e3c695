"""Limits of what Eddy takes in."""

# The largest record that is written: `max.message.bytes` of every topic allows it.
MAX_REQUEST_BYTES = 16 * 1024 * 1024

# How far back an event that is sent again is known again: what features remembers of each user, and what a caller may send at once.
REMEMBERED_EVENTS = 100
