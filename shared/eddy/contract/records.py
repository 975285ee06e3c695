"""The records of schemas/ as typed dictionaries, one class per record, which codecs encode and decode.

Generated from the .avsc files. Edit those, then run `python -m eddy.contract.generate` (`make docs` does too).
"""

from typing import TypedDict


class History(TypedDict):
    """A user's last interactions as parallel arrays, oldest first. Columns instead of rows: a few arrays decode several
    times faster than fifty records.
    """

    item_ids: list[str]
    """Items of the interactions, oldest first."""

    actions: list[str]
    """Action of each interaction, as named in scenarios.yaml."""

    scenarios: list[str]
    """Scenario of each interaction."""

    values: list[float]
    """Value of each interaction, normalised to 0..1 by the scenario's rule for the action."""

    occurred_at: list[int]
    """Event time of each interaction, milliseconds since the epoch."""

    valued: list[bool]
    """Whether the event gave a value, for the newest interactions, oldest first, parallel to the end of `values`.
    Earlier interactions (all of them if this is empty) were recorded without this field.
    """


class DeadLetter(TypedDict):
    """A message that a service could not use, kept whole with the reason."""

    source_topic: str
    """Topic of the message."""

    source_partition: int
    """Partition of the message."""

    source_offset: int
    """Offset of the message."""

    key: bytes | None
    """Key of the message."""

    payload: bytes
    """Raw bytes of the message. A message in a schema registry's framing has the single-object header of its schema in
    place of that framing.
    """

    reason: str
    """Reason of the refusal, from a closed set: the label `reason` of the metric."""

    detail: str
    """Explanation for people: what is wrong, what was expected, what to do."""

    service: str
    """Service that refused the message."""

    at: int
    """Wall clock time of the refusal, milliseconds since the epoch."""


class Erasure(TypedDict):
    """An order to forget a user or an item. Applications publish it, or call the gateway, which publishes it as a
    notice to others.
    """

    id: str
    """Id of the user or item; the key of the topic."""

    kind: str
    """`user` or `item`."""

    requested_at: int
    """Time of the request, milliseconds since the epoch."""

    erased_offset: int | None
    """Offset of the record without value that erases: in the id's partition of user-events for a user, of items for an
    item. Null in an order of an application: the features service then writes that record.
    """


class Item(TypedDict):
    """An item that can be recommended."""

    item_id: str
    """Unique id; the key of the topic."""

    scenarios: list[str]
    """Scenarios in which the item may be recommended; empty means all."""

    title: str
    """Short name, for display."""

    text: str | None
    """Longer description."""

    categories: list[str]
    """Categories, genres or tags."""

    attributes: dict[str, str]
    """Further properties: brand, year, language."""

    available: bool
    """False removes the item from all recommendations at once."""

    published_at: int | None
    """Time from which the item is recommended, by the time of each request; milliseconds since the epoch. Without it,
    at once: the item is then as new as its first record.
    """


class ItemEmbedding(TypedDict):
    """An item's row of the embedding table that the ONNX graphs read."""

    item_id: str
    """The item; the key of the topic."""

    version: int
    """Version of the release that the row belongs to."""

    vector: bytes
    """Packed little-endian float32 [DIM of the model contract]."""

    bias: float
    """Bias, added to the dot product of user vector and item vector."""

    signature: bytes
    """Proof that the trainer signed all other fields (shared/eddy/contract/releases.py). Empty in records of former
    versions.
    """


class ItemCounts(TypedDict):
    """Decayed counts of one scenario."""

    scenario: str
    """The scenario."""

    shown: float
    """Impressions in slates that were served, decayed with the slow half-life; each item of a slate once."""

    clicked: float
    """Clicks, decayed with the slow half-life. A user's repeated interactions with the item count less and less."""

    acted: float
    """Interactions of positive weight, clicks included, decayed with the slow half-life; repeated ones as in `clicked`.
    """

    acted_fast: float
    """As `acted`, decayed with the fast half-life."""

    total: int
    """Users with an interaction of positive weight, not decayed."""

    valued: int
    """Explicit ratings, the last one of each user, not decayed."""

    value_sum: float
    """Sum of these normalised ratings, 0..1 each."""

    newcomers: float
    """The part of `acted` that comes from newcomers, as far as they count (shared/eddy/contract/trust.py)."""

    acted_hour: float
    """As `acted`, with a half-life of an hour of arrival."""

    newcomers_hour: float
    """As `newcomers`, with a half-life of an hour of arrival: these four bound what further newcomers count."""


class ItemFeatures(TypedDict):
    """Decayed counts and co-visited items of an item. A decayed value v at time `at` is worth v * 2^(-(now - at) /
    half-life) now.
    """

    item_id: str
    """The item; the key of the topic."""

    applied_offsets: dict[str, int]
    """For each user-events partition (the key, in decimal) the offset that this state includes."""

    as_of: int
    """Event time to which the decayed values refer, milliseconds since the epoch."""

    first_at: int
    """Event time of the first event on the item, milliseconds since the epoch."""

    counts: list[ItemCounts]
    """Decayed counts per scenario, as of `as_of`."""

    covisited: list[str]
    """Items among the last 20 of a user before this one, highest weight first."""

    covisit_weights: list[float]
    """Decayed co-visitation weight of each item in `covisited`, as of `as_of`."""

    transition_weights: list[float]
    """The part of each weight that comes from users whose last item it was."""


class ItemSignal(TypedDict):
    """An event on the item."""

    offset: int
    """Offset of the event in its user-events partition."""

    at: int
    """Event time, milliseconds since the epoch."""

    scenario: str
    """Scenario of the event."""

    action: str
    """Action of the event."""

    previous: list[str]
    """The user's previous items, newest first, for co-visitation; empty for actions that do not count for it."""

    value: float | None
    """Normalised explicit rating, 0..1; null for other events, and for a late rating that a newer one has replaced."""

    repeats: float
    """The user's earlier interactions with the item, decayed; 0 if there are none. The event counts 1 / (1 + repeats).
    """

    former_value: float | None
    """The user's former rating of the item in the scenario, which `value` replaces."""

    known: float
    """How well the user was known before the event: 0 (newcomer) to 1 (shared/eddy/contract/trust.py)."""

    positive: bool
    """Whether the event is positive feedback; a rejecting one, as a low rating, is not
    (shared/eddy/contract/events.py).
    """

    young: bool
    """Whether nobody could be of age yet in the log of events (shared/eddy/contract/trust.py)."""


class ItemSignals(TypedDict):
    """Updates of an item from one batch of user events of one partition, from the features service to itself."""

    item_id: str
    """The item; the key of the topic."""

    source_partition: int
    """Partition of user-events of the batch."""

    entries: list[ItemSignal]
    """One entry per event, in offset order."""


class ModelRelease(TypedDict):
    """A complete model that passed the release gate."""

    slot: str
    """`champion`; the key of the topic."""

    version: int
    """Version; rises by one with each release, also across restarts."""

    contract: str
    """Hash of the model contract; a scorer refuses a release whose hash is not its own."""

    encode: bytes
    """ONNX graph `encode`."""

    rank: bytes
    """ONNX graph `rank`."""

    embedding_offsets: list[int]
    """For each partition of item-embeddings, an end offset: all rows of this version are before it."""

    trained_through: list[int]
    """For each partition of training-examples, the offset of the first example that is not trained on yet."""

    metrics: dict[str, float]
    """Metrics at the time of release, such as progressive log-loss."""

    released_at: int
    """Wall clock time of the release, milliseconds since the epoch."""

    signature: str
    """`ed25519:<key id>:<base64>` over all other fields (shared/eddy/contract/releases.py)."""

    features: list[str]
    """Names of the features that `rank` reads, in order; empty: LEGACY_FEATURES of shared/eddy/contract/legacy.py."""

    actions: list[str]
    """Names of the action heads, in the order of `predictions`; empty: LEGACY_ACTIONS of
    shared/eddy/contract/legacy.py.
    """


class RecommendationRequest(TypedDict):
    """A request for recommendations, or for the ranking of given candidates."""

    request_id: str
    """Unique id; the answer and its impressions carry it."""

    user_id: str
    """The user; the key of the topic."""

    scenario: str
    """Scenario as named in scenarios.yaml."""

    limit: int
    """Number of items, 1 to 500."""

    query: str | None
    """Search text."""

    candidates: list[str] | None
    """The only items to rank; null for no such restriction."""

    exclude: list[str]
    """Items to leave out."""

    after_offset: int | None
    """Offset of the user's last event in user-events. The answer waits until the user's features include it (read your
    writes), or until the deadline.
    """

    deadline_at: int | None
    """Time by which to answer, with the features available then, by the clock of requested_at, milliseconds since the
    epoch. The difference of both, at most ten minutes, counts from the append of the request; then nobody waits for the
    answer.
    """

    requested_at: int
    """Event time of the request, milliseconds since the epoch. Decay and ages are computed for it."""


class RecommendedItem(TypedDict):
    """An item of the slate."""

    item_id: str
    """The item."""

    position: int
    """Position in the slate, from 0."""

    score: float
    """Score that the item was ranked by."""

    predictions: list[float]
    """Probability of each action in `prediction_names`; empty without a model."""

    propensity: float
    """Probability that the policy puts this item at this position, given the ranking."""

    source: str
    """Source that proposed the candidate."""

    reason: str
    """Reason for the user, or empty: see shared/eddy/contract/reasons.py. `covisited:<item id>` and `similar_to:<item
    id>` name an item of the user's history.
    """


class Refusal(TypedDict):
    """Why a request was refused."""

    reason: str
    """Reason from a closed set, as in dead letters."""

    field: str
    """Field of the request that is wrong; empty if no single field is."""

    detail: str
    """Explanation for people: what is wrong, what was expected, what to do."""


class Recommendations(TypedDict):
    """A slate and everything needed to train on its outcome."""

    request_id: str
    """Id of the request; for a pushed slate, an id that the scorer made."""

    user_id: str
    """The user; the key of the topic."""

    scenario: str
    """The scenario."""

    requested_at: int
    """Event time of the request, milliseconds since the epoch."""

    served_at: int
    """Wall clock time of publication, milliseconds since the epoch."""

    model_version: int
    """Version of the release that scored the slate; 0 is the popularity fallback."""

    policy: str
    """Name of the policy that made the slate from the ranking."""

    trigger: str
    """`request`, or `push` after an update of the user's features."""

    applied_offset: int
    """Offset in user-events up to which the user's features included events; -1 without features."""

    items: list[RecommendedItem]
    """The slate, in order."""

    considered: list[str]
    """All candidates that were ranked, whether in the slate or not."""

    features: bytes
    """Ranking features of `considered`: packed little-endian float16 [considered, feature_names], exactly as the ranker
    read them.
    """

    feature_names: list[str]
    """Names of the columns of `features`, in order; empty: LEGACY_FEATURES of shared/eddy/contract/legacy.py."""

    prediction_names: list[str]
    """Actions of the release that scored the slate, in the order of `predictions`; empty: LEGACY_ACTIONS of
    shared/eddy/contract/legacy.py, or no predictions.
    """

    contract: str
    """Hash of the model contract of the scorer."""

    refusal: Refusal | None
    """Why the request was refused; null for an answered request. A refusal has no items and no candidates."""

    history: History
    """The history that the slate was scored with: the last 50 interactions."""


class LabelledItem(TypedDict):
    """An item with its label."""

    item_id: str
    """The item."""

    position: int
    """Position in the slate, from 0; -1 without an impression."""

    propensity: float
    """Propensity of the impression; 0 without one."""

    label: int
    """1 positive, 0 negative."""

    action: str
    """Action that made the label positive; empty for a negative label."""

    value: float
    """Value of the action, normalised to 0..1; 0 for a negative label."""


class TrainingExample(TypedDict):
    """A training example. `label`: impressions with their label. `upgrade`: a later, stronger interaction with an item
    that was labelled positive. `next_item`: a positive interaction, as the next item of its user's sequence.
    """

    example_id: str
    """Id derived from the request or the event, unique for a user: the same input gives the same id."""

    kind: str
    """`label`, `upgrade` or `next_item`."""

    user_id: str
    """The user; the key of the topic."""

    scenario: str
    """The scenario."""

    request_id: str | None
    """Request of the slate; null for an unattributed interaction."""

    event_id: str | None
    """Event that made the example; null if the attribution window closed."""

    items: list[LabelledItem]
    """The items; exactly one for `next_item` and `upgrade`."""

    features: bytes
    """Ranking features of `items`: packed float16 [items, feature_names]; empty if there are none."""

    considered: list[str]
    """`next_item` only: the candidates of the slate's request that include the item; empty if there are none."""

    considered_features: bytes
    """Ranking features of `considered`: packed float16 [considered, feature_names]."""

    feature_names: list[str]
    """Names of the columns of `features` and `considered_features`, in order; empty: LEGACY_FEATURES of
    shared/eddy/contract/legacy.py.
    """

    history: History | None
    """History that the slate was scored with; null without a slate (the trainer keeps the user's sequence)."""

    occurred_at: int
    """Event time of the interaction, or of the end of the attribution window, milliseconds since the epoch."""

    shown_at: int | None
    """Event time of the impression; null without one."""

    labelled_at: int
    """Wall clock time at which the example was written, milliseconds since the epoch."""

    model_version: int
    """Version of the release that scored the slate; 0 is the popularity fallback, or no slate."""

    contract: str
    """Hash of the scorer's model contract; empty without features."""

    superseded: bool
    """`next_item` only: whether the user had already received a newer slate of the scenario, made for a longer history.
    `considered` are then not the candidates of that moment.
    """

    acted_at: int | None
    """Append time of the interaction in Kafka, milliseconds since the epoch; null if the attribution window closed."""


class UserEvent(TypedDict):
    """An interaction of a user, or an impression: recommendations that were shown to the user."""

    event_id: str
    """Unique id chosen by the publisher; a second event with it is a duplicate and is dropped."""

    user_id: str
    """The user; the key of the topic."""

    scenario: str
    """Scenario as named in scenarios.yaml."""

    action: str
    """Action as named in scenarios.yaml for the scenario; `impression` reports that items were shown."""

    item_id: str | None
    """The item. An impression without it covers the whole slate of its request."""

    value: float | None
    """Value of the action, if it has one: a rating, seconds played, a price."""

    query: str | None
    """Search text, if the action is a search or follows one."""

    request_id: str | None
    """Request whose slate the user saw."""

    position: int | None
    """Position of the item in that slate, from 0."""

    occurred_at: int
    """Event time, milliseconds since the epoch."""

    attributes: dict[str, str]
    """Further properties: device, page, experiment."""


class UserFeatures(TypedDict):
    """Features of a user: the state of the features service and the input of the scorer, in one record."""

    user_id: str
    """The user; the key of the topic."""

    applied_offset: int
    """Offset in the user-events partition that this state includes; an event at or below it changes nothing."""

    as_of: int
    """Event time of the newest event included, milliseconds since the epoch."""

    age_start: int
    """Time from which the age of the user counts (shared/eddy/contract/trust.py): that of the first event, at most one
    day before the newest event of the log so far. 0 for users from before there was this field.
    """

    history: History
    """Last 100 interactions by event time (actions of positive weight). A run of one item is one interaction for each
    action: the last.
    """

    offsets: list[int]
    """Source offset of each interaction in `history`."""

    seen: bytes
    """Items that were no longer in `history` before `seen_items` existed: packed little-endian uint32, CRC-32 of the
    item id in UTF-8. Nothing is added.
    """

    counts: dict[str, int]
    """Number of events, by `scenario/action`."""

    recent_events: bytes
    """Last event ids for dropping duplicates: packed 8-byte BLAKE2b digests, oldest first."""

    seen_items: bytes
    """Each item that the user interacted with, in the order of the first interactions: packed entries of 14 bytes,
    little-endian: BLAKE2b digest of the item id (8 bytes), last event time in seconds (uint32), interactions with a
    decay of 30 days (float16).
    """

    ratings: bytes
    """The last explicit rating of each item and scenario: packed entries of 20 bytes, little-endian: BLAKE2b digest of
    `scenario/item id` (8 bytes), event time in milliseconds (int64), normalised value (float32).
    """

    rejected_items: bytes
    """Items whose last feedback by event time was a rejection (an action of negative weight, a low rating), at most
    200: packed entries of 16 bytes, little-endian: BLAKE2b digest of the item id (8 bytes), event time in milliseconds
    (int64).
    """

    shown: bytes
    """The last 50 requests with an impression that counted: packed entries of 16 bytes, little-endian: BLAKE2b digest
    of the request id (8 bytes), a bit for each position that was shown (uint64; positions from 63 on share one).
    """

    log_id: bytes
    """Id that Kafka gave to the topic user-events whose offsets `applied_offset` and `offsets` are; a topic created
    again has another. Empty if unknown.
    """
