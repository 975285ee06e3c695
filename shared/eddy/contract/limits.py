"""All limits of Eddy's inputs: lengths in characters, counts, sizes in bytes, times in milliseconds. All are inclusive."""

# The largest record that Eddy writes; `max.message.bytes` of every topic allows it.
MAX_REQUEST_BYTES = 16 * 1024 * 1024

# Names: ids of users, items, events and requests, scenarios, actions, categories, names of attributes.
MAX_ID_CHARS = 256
# Values of attributes, titles, and the query that an event carries.
MAX_TEXT_CHARS = 1024
# The description of an item.
MAX_DESCRIPTION_CHARS = 65_536
# The query of a recommendation request, which the scorer embeds before it answers.
MAX_QUERY_CHARS = 256

MAX_ATTRIBUTES = 64
MAX_CATEGORIES = 64

# Items that a request may ask for.
MAX_SLATE = 500
# Candidates of a request, and items that a request excludes.
MAX_CANDIDATES = 1000
MAX_EXCLUDED = 10_000
# Longest wait of a request for its answer, whatever deadline it names: a waiting request holds back the commits of its partition.
MAX_ALLOWANCE_MS = 600_000

# Upper bound of the gateway's setting for events per POST.
MAX_BATCH_EVENTS = 10_000
# Event ids per user that the features service keeps. Repeated events are recognised if a caller sends at most so many at once.
REMEMBERED_EVENTS = 100

# Earliest time of events and requests, 3 March 1973. Times in seconds, minutes or days since the epoch are below it: as seconds it is the
# year 5138.
MIN_EVENT_MS = 10**11
# Publication times may be long ago, but a smaller magnitude is that of a time in seconds (up to 2286), minutes, days, or a calendar date
# as a number, and one above MAX_PUBLISHED_MS (2286) that of a time in microseconds or nanoseconds. New Year 1970 in any time zone (up to
# 14 hours from UTC, by quarters) may be meant.
MIN_PUBLISHED_MAGNITUDE = 10**10
MAX_UTC_OFFSET_MS, UTC_OFFSET_STEP_MS = 14 * 3_600_000, 900_000
MAX_PUBLISHED_MS = 10**13
# Maximum lead of a record's own time over its append time.
MAX_AHEAD_MS = 24 * 3600 * 1000
# Maximum lead of a record's time over its append time in the joiner's watermark, so that a device with a wrong clock closes no windows.
MAX_CLOCK_LEAD_MS = 60_000
# Age of a record at its append up to which it is live: its own time is that of its arrival. An older one is replayed, or of a slow clock.
MAX_LIVE_AGE_MS = 300_000
# Publication times may be before 1970: films, for example.
MIN_PUBLISHED_MS = -MAX_PUBLISHED_MS
# Bounds of Avro's `long` and `int`.
MAX_OFFSET = 2**63 - 1
MAX_POSITION = 2**31 - 1

# Releases: exact as a 64-bit float, so that every gauge shows the version as it is.
MAX_VERSION = 2**53
MAX_GRAPH_BYTES = 6 * 1024 * 1024
MAX_RELEASE_METRICS = 1000
# Features, and actions, of a model.
MAX_MODEL_NAMES = 1000

# A refusal repeats an overlong id up to this length: enough for the caller to recognise it, and the answer stays small.
MAX_ECHO_CHARS = 4096
