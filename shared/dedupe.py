"""How far back an event that is sent again is known again: what features remembers of each user, and what a caller may send at once."""

REMEMBERED_EVENTS = 100
