"""Every limit of what Eddy takes in: lengths in characters, counts, sizes in bytes, times in milliseconds. All are inclusive."""

# The largest record that is written: `max.message.bytes` of every topic allows it.
MAX_REQUEST_BYTES = 16 * 1024 * 1024

# Names: ids of users, items, events and requests, scenarios, actions, categories, names of attributes.
MAX_ID_CHARS = 256
# Values of attributes, titles, and the query that an event carries.
MAX_TEXT_CHARS = 1024
# The description of an item.
MAX_DESCRIPTION_CHARS = 65_536
# The query of a recommendation request: the scorer embeds it before it answers.
MAX_QUERY_CHARS = 256

MAX_ATTRIBUTES = 64
MAX_CATEGORIES = 64

# Items of a slate: what a request may ask for.
MAX_SLATE = 500
# Items that a request may give to be ranked, or exclude.
MAX_CANDIDATES = 1000
MAX_EXCLUDED = 10_000

# Events of one POST, whatever the gateway is set to.
MAX_BATCH_EVENTS = 10_000
# How many events of a user features remembers: a caller may send so many at once, and a repeated one is still a duplicate.
REMEMBERED_EVENTS = 100

# A record's own time may be so far ahead of the broker's clock (its append time).
MAX_AHEAD_MS = 24 * 3600 * 1000
# So far ahead of its append time a record moves the joiner's clock: one device with a wrong clock closes nobody's window.
MAX_CLOCK_LEAD_MS = 60_000
# Avro's `long` and `int`. An item may be older than 1970: a film of 1922 is.
MIN_TIME_MS = -(2**63)
MAX_TIME_MS = 2**63 - 1
MAX_OFFSET = 2**63 - 1
MAX_POSITION = 2**31 - 1

# An id that is too long is echoed in a refusal as far as this: its caller recognises it, and the answer stays small.
MAX_ECHO_CHARS = 4096
