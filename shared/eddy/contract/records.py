"""The records of schemas/ as typed dictionaries, one class a record: what codecs encode and decode.

Generated from the .avsc files: change those, then run `python -m eddy.contract.generate` (`make docs` does too).
"""

from typing import TypedDict


class History(TypedDict):
    """A user's last interactions as parallel arrays, oldest first. Columns instead of rows: a few arrays decode several
    times faster than fifty records.
    """

    item_ids: list[str]
    """Items acted on, oldest first."""

    actions: list[str]
    """Action on each item, as named in scenarios.yaml."""

    scenarios: list[str]
    """Scenario each interaction took place in."""

    values: list[float]
    """Value of each interaction, normalised to 0..1 by the scenario's rule for the action."""

    occurred_at: list[int]
    """Event time of each interaction, milliseconds since the epoch."""

    valued: list[bool]
    """Whether a value was given with each of the newest interactions, oldest first, parallel to the end of `values`.
    Interactions before these, all where it is empty, were recorded without this field.
    """


class DeadLetter(TypedDict):
    """Input that could not be used, kept whole with the reason."""

    source_topic: str
    """Topic it came from."""

    source_partition: int
    """Its partition."""

    source_offset: int
    """Its offset."""

    key: bytes | None
    """Its key."""

    payload: bytes
    """Its raw bytes; where a schema registry named its schema, the single-object header of that schema stands before
    the body.
    """

    reason: str
    """Why, one of a closed set: the `reason` label of the metric."""

    detail: str
    """What exactly, for a person."""

    service: str
    """Service that refused it."""

    at: int
    """Wall clock, milliseconds since the epoch."""


class Item(TypedDict):
    """A thing that can be recommended."""

    item_id: str
    """Unique id; the key of the topic."""

    scenarios: list[str]
    """Scenarios it may be recommended in; empty means all."""

    title: str
    """Short name, shown to people."""

    text: str | None
    """Longer description."""

    categories: list[str]
    """Categories, genres or tags."""

    attributes: dict[str, str]
    """Anything else: brand, year, language."""

    available: bool
    """False takes it out of every list at once."""

    published_at: int | None
    """When it became available, milliseconds since the epoch."""


class ItemEmbedding(TypedDict):
    """An item's row of the table that both graphs read."""

    item_id: str
    """The item; the key of the topic."""

    version: int
    """Release that the row belongs to."""

    vector: bytes
    """Packed little-endian float32 [DIM of the model contract]."""

    bias: float
    """Added to the dot product of user and item vector."""


class ItemCounts(TypedDict):
    """Decayed counts of one scenario."""

    scenario: str
    """The scenario."""

    shown: float
    """Impressions that named the item, slow half-life."""

    clicked: float
    """Clicks, slow half-life."""

    acted: float
    """Actions of positive weight (clicks among them), slow half-life."""

    acted_fast: float
    """The same with the fast half-life: what is trending."""

    total: int
    """Actions of positive weight, never decayed."""

    valued: int
    """Opinions: actions whose value was given and says how much the user liked the item. Never decayed."""

    value_sum: float
    """Sum of their normalised values, 0..1 each."""


class ItemFeatures(TypedDict):
    """Decayed counts and co-visited items of an item. A decayed value v at time `at` is worth v * 2^(-(now - at) /
    half-life) now.
    """

    item_id: str
    """The item; the key of the topic."""

    applied_offsets: dict[str, int]
    """For each user-events partition (the key, in decimal) the offset that this state includes."""

    as_of: int
    """Event time that the decayed values are stated at, milliseconds since the epoch."""

    first_at: int
    """Event time of the first action on the item, milliseconds since the epoch."""

    counts: list[ItemCounts]
    """Decayed counts per scenario, stated at `as_of`."""

    covisited: list[str]
    """Items that users had before this one (the last 20 of each), strongest first."""

    covisit_weights: list[float]
    """Decayed co-visitation weight of each, stated at `as_of`."""

    transition_weights: list[float]
    """The part of it from users whose very last item it was."""


class ItemSignal(TypedDict):
    """One event on the item."""

    offset: int
    """Offset of the event in its user-events partition."""

    at: int
    """Event time, milliseconds since the epoch."""

    scenario: str
    """Scenario of the event."""

    action: str
    """Action of the event."""

    previous: list[str]
    """The user's items before this one, newest first, for co-visitation; empty when the action does not count for it.
    """

    value: float | None
    """Normalised value, 0..1, where it was given and is an opinion (scenarios.yaml); null otherwise."""


class ItemSignals(TypedDict):
    """What one batch of user events of one source partition means for an item (features to features)."""

    item_id: str
    """The item; the key of the topic."""

    source_partition: int
    """Partition of user-events that the batch came from."""

    entries: list[ItemSignal]
    """One per event, in offset order."""


class ModelRelease(TypedDict):
    """A model that passed the release gate, whole."""

    slot: str
    """`champion` or `challenger`; the key of the topic."""

    version: int
    """Rises by one with each release, across restarts too."""

    contract: str
    """Hash of the model contract; a scorer refuses a release whose hash is not its own."""

    encode: bytes
    """ONNX graph `encode`."""

    rank: bytes
    """ONNX graph `rank`."""

    embedding_offsets: list[int]
    """For each partition of item-embeddings the end offset that holds all rows of this version."""

    trained_through: list[int]
    """For each partition of training-examples the next offset not yet learned from."""

    metrics: dict[str, float]
    """Figures at release: progressive log-loss and so on."""

    released_at: int
    """Wall clock, milliseconds since the epoch."""

    signature: str
    """SHA-256 over version, contract, both graphs and the names, hexadecimal."""

    features: list[str]
    """Names of the features that `rank` reads, in order; empty: LEGACY_FEATURES of shared/eddy/contract/legacy.py."""

    actions: list[str]
    """Names of the action heads, in the order of `predictions`; empty: LEGACY_ACTIONS of
    shared/eddy/contract/legacy.py.
    """


class RecommendationRequest(TypedDict):
    """A request for a list, or for the ranking of given candidates."""

    request_id: str
    """Unique id; the answer and the impression carry it."""

    user_id: str
    """Who the list is for; the key of the topic."""

    scenario: str
    """Scenario as named in scenarios.yaml."""

    limit: int
    """Items wanted, 1 to 500."""

    query: str | None
    """Search text."""

    candidates: list[str] | None
    """Rank these and nothing else."""

    exclude: list[str]
    """Items that must not be in the list."""

    after_offset: int | None
    """Offset of the user's last event in user-events: answer once the user's features include it (read your writes), or
    at the deadline.
    """

    deadline_at: int | None
    """Wall clock, milliseconds since the epoch: answer by then with what is known."""

    requested_at: int
    """Event time of the request, milliseconds since the epoch: decay and ages are computed at it."""


class RecommendedItem(TypedDict):
    """One place of the list."""

    item_id: str
    """The item."""

    position: int
    """Place in the list, from 0."""

    score: float
    """Score it was ranked by."""

    predictions: list[float]
    """Probability of each action in `prediction_names`; empty without a model."""

    propensity: float
    """Probability that the policy put this item at this place, given the ranking."""

    source: str
    """Candidate source that brought it."""

    reason: str
    """Why, in words a person can read, or empty; `covisited:<item id>` and `taste:<item id>` name the item it goes
    with, or is like.
    """


class Refusal(TypedDict):
    """Why a request cannot be answered."""

    reason: str
    """One of the closed set of reasons, as in dead letters."""

    field: str
    """Field of the request that is wrong; empty where it is no single one."""

    detail: str
    """What exactly, for a person."""


class Recommendations(TypedDict):
    """A served list with all that is needed to learn from it."""

    request_id: str
    """The request answered; an id of the scorer's own for a pushed list."""

    user_id: str
    """The user; the key of the topic."""

    scenario: str
    """The scenario."""

    requested_at: int
    """Event time of the request, milliseconds since the epoch."""

    served_at: int
    """Wall clock when it was published, milliseconds since the epoch."""

    model_version: int
    """Version of the release that scored it; 0 is counts alone."""

    policy: str
    """Name of the policy that chose the list from the ranking."""

    trigger: str
    """`request`, or `push` after an update of the user's features."""

    applied_offset: int
    """Offset in user-events that the user's features included; -1 when nothing was known."""

    items: list[RecommendedItem]
    """The list in order."""

    considered: list[str]
    """All candidates that were ranked, shown or not."""

    features: bytes
    """Ranking features of `considered`: packed little-endian float16 [considered, feature_names], the very numbers that
    were ranked with.
    """

    feature_names: list[str]
    """Names of the columns of `features`, in order; empty: LEGACY_FEATURES of shared/eddy/contract/legacy.py."""

    prediction_names: list[str]
    """Actions whose probabilities `predictions` are, in order: those of the release that scored it; empty:
    LEGACY_ACTIONS of shared/eddy/contract/legacy.py, or no predictions.
    """

    contract: str
    """Hash of the model contract of the scorer."""

    refusal: Refusal | None
    """Why the request was refused, null where it was answered. Items and candidates are empty then."""

    history: History
    """The history the list was scored with (the last 50 interactions)."""


class LabelledItem(TypedDict):
    """An item with its label."""

    item_id: str
    """The item."""

    position: int
    """Place in the list it was shown in, from 0; -1 when it was not shown."""

    propensity: float
    """Propensity it was shown with; 0 when it was not shown."""

    label: int
    """1 positive, 0 negative."""

    action: str
    """Action that made the label; empty for a negative."""

    value: float
    """Value of the action, normalised to 0..1; 0 for a negative."""


class TrainingExample(TypedDict):
    """Something to learn from. `label`: shown items with their one label. `upgrade`: a later, stronger action on an
    item labelled positive. `next_item`: a positive event, as the next item of its user's sequence.
    """

    example_id: str
    """Derived from the request or event it comes from: the same input gives the same id."""

    kind: str
    """`label`, `upgrade` or `next_item`."""

    user_id: str
    """The user; the key of the topic."""

    scenario: str
    """The scenario."""

    request_id: str | None
    """List it belongs to, null when organic."""

    event_id: str | None
    """Event that made it, null where the window closed."""

    items: list[LabelledItem]
    """What it is about; exactly one for `next_item` and `upgrade`."""

    features: bytes
    """Ranking features of `items`: packed float16 [items, feature_names]; empty where none are known."""

    considered: list[str]
    """`next_item` only: the considered candidates of the list that holds the item; empty where there is none."""

    considered_features: bytes
    """Their ranking features: packed float16 [considered, feature_names]."""

    feature_names: list[str]
    """Names of the columns of `features` and `considered_features`, in order; empty: LEGACY_FEATURES of
    shared/eddy/contract/legacy.py.
    """

    history: History | None
    """History snapshot that the list was scored with; null where no list is involved (the trainer keeps the sequence).
    """

    occurred_at: int
    """Event time of the action, or of the window's close, milliseconds since the epoch."""

    shown_at: int | None
    """Event time of the impression, null when not shown."""

    labelled_at: int
    """Wall clock when it was written, milliseconds since the epoch."""

    model_version: int
    """Version that scored the list; 0 is counts alone or no list."""

    contract: str
    """Hash of the model contract of the scorer; empty without features."""

    superseded: bool
    """Whether the user of a next_item had gone on before the event, to a newer list of the scenario made for a longer
    history: the considered are then not the candidates of that moment.
    """

    acted_at: int | None
    """When Kafka took in the action that it comes from, wall clock in milliseconds since the epoch; null where a window
    closed.
    """


class UserEvent(TypedDict):
    """Something a user did, or an impression: a list that was put before the user's eyes."""

    event_id: str
    """Unique id chosen by the publisher; a second event with it is a duplicate and is dropped."""

    user_id: str
    """Who acted; the key of the topic."""

    scenario: str
    """Scenario as named in scenarios.yaml."""

    action: str
    """Action as named in scenarios.yaml for the scenario; `impression` says that a list was shown."""

    item_id: str | None
    """Item acted on. An impression without it means the whole list of its request."""

    value: float | None
    """Strength of the action where it has one: a rating, seconds played, a price."""

    query: str | None
    """Search text, where the action is a search or follows one."""

    request_id: str | None
    """Request whose list the user was looking at."""

    position: int | None
    """Position of the item in that list, from 0."""

    occurred_at: int
    """Event time, milliseconds since the epoch."""

    attributes: dict[str, str]
    """Anything else worth keeping: device, page, experiment."""


class UserFeatures(TypedDict):
    """All that is known of a user: the state of the features service and what the scorer reads, in one record."""

    user_id: str
    """The user; the key of the topic."""

    applied_offset: int
    """Offset in the user-events partition that this state includes; an event at or below it changes nothing."""

    as_of: int
    """Event time of the newest event included, milliseconds since the epoch."""

    history: History
    """Last 100 interactions (actions that scenarios.yaml keeps in history)."""

    offsets: list[int]
    """Source offset of each interaction in `history`."""

    seen: bytes
    """Items acted on that have left `history`: packed little-endian uint32, CRC-32 of the item id in UTF-8, oldest
    first.
    """

    counts: dict[str, int]
    """Events so far, keyed `scenario/action`."""

    recent_events: bytes
    """Last event ids for dropping duplicates: packed 8-byte BLAKE2b digests, oldest first."""
