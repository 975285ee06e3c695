"""Every metric of Eddy, declared once: name, type, unit suffix, labels, buckets, one sentence.

Names end in their unit (`_seconds`, `_bytes`, `_total` for counters). Label values are closed sets: a reason is one of REASONS,
a source one of SOURCES. Each process exposes all of them; those of other services stay at zero.
"""

from prometheus_client import Counter, Gauge, Histogram

# event -> features -> list -> impression -> label -> gradient -> release -> first list by it. A list is made upon request, so its hop
# begins there; `list_to_impression` is the time that people take.
HOPS = (
    "event_to_features",
    "request_to_list",
    "list_to_impression",
    "action_to_label",
    "label_to_gradient",
    "gradient_to_release",
    "release_to_list",
)

_LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_FRESHNESS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# Every service
DEAD_LETTERS = Counter(
    "eddy_dead_letters_total", "Inputs refused and kept in dead-letters.", ["service", "topic", "reason"]
)
RECORDS = Counter("eddy_records_total", "Records consumed.", ["service", "topic"])
LAG = Gauge("eddy_consumer_lag_records", "Records behind the end of the partition.", ["service", "topic", "partition"])
BATCH_RECORDS = Histogram("eddy_batch_records", "Records per batch.", ["service"], buckets=_BATCH)
STAGE_SECONDS = Histogram(
    "eddy_stage_seconds", "Time a batch spends in a stage.", ["service", "stage"], buckets=_LATENCY
)
RESTARTS = Counter("eddy_worker_restarts_total", "Workers restarted after a failure.", ["service"])
HOP_SECONDS = Histogram(
    "eddy_loop_hop_seconds", "Freshness: how long the loop takes from one hop to the next.", ["hop"], buckets=_FRESHNESS
)
LOOP_SECONDS = Histogram(
    "eddy_loop_seconds",
    "Freshness, end to end: from an action's arrival in Kafka to the first list by weights that learned from it.",
    buckets=_FRESHNESS,
)

# features
EVENTS = Counter("eddy_features_events_total", "Events applied to user features.", ["scenario", "action"])
DUPLICATES = Counter("eddy_features_duplicates_total", "Events dropped because their id was seen before.")
USERS = Gauge("eddy_features_users", "Users with state on this instance.")
ITEMS_WITH_STATE = Gauge("eddy_features_items", "Items with state on this instance.")

# scorer
REQUESTS = Counter("eddy_scorer_lists_total", "Lists published.", ["scenario", "trigger"])
CANDIDATES = Counter(
    "eddy_scorer_shown_candidates_total", "Places of lists filled, by candidate source.", ["scenario", "source"]
)
MODEL_VERSION = Gauge("eddy_scorer_model_version", "Version of the release that serves; 0 is counts alone.")
SWAPS = Counter("eddy_scorer_swaps_total", "Releases taken live.")
REFUSED_RELEASES = Counter("eddy_scorer_refused_releases_total", "Releases not taken.", ["reason"])
COVERAGE = Gauge(
    "eddy_scorer_catalogue_coverage",
    "Share of the items of a scenario that stood in lists of this worker of late.",
    ["scenario"],
)
EXPOSURE_GINI = Gauge(
    "eddy_scorer_exposure_gini",
    "Gini coefficient of how often the items of a scenario stood in lists of this worker of late: 0 is all alike.",
    ["scenario"],
)
LATE_ANSWERS = Counter(
    "eddy_scorer_deadline_answers_total", "Requests answered at their deadline without the features they waited for."
)

# joiner
SHOWN = Counter("eddy_joiner_shown_total", "Items shown.", ["scenario"])
LABELS = Counter("eddy_joiner_labels_total", "Labels given to shown items.", ["scenario", "label"])
PLACES_SHOWN = Counter(
    "eddy_joiner_places_shown_total",
    "Shown items by the source and the place of the list.",
    ["scenario", "source", "position"],
)
PLACES_ACTED_ON = Counter(
    "eddy_joiner_places_acted_on_total",
    "Shown items that were labelled positive, by the source and the place of the list.",
    ["scenario", "source", "position"],
)
UPGRADES = Counter("eddy_joiner_upgrades_total", "Upgrade examples.", ["scenario", "action"])
NEXT_ITEMS = Counter("eddy_joiner_next_items_total", "Next-item examples.", ["scenario", "origin"])
SKIPPED = Counter(
    "eddy_joiner_skipped_total", "User events passed over because the features service dead-letters them.", ["reason"]
)
OPEN = Gauge("eddy_joiner_open_items", "Shown items that have no label yet.", ["partition"])
HANDED_OVER = Counter(
    "eddy_joiner_handed_over_total",
    "Items that were open when their partition went to another instance, which counts them as shown.",
)
WATERMARK = Gauge(
    "eddy_joiner_watermark_seconds", "Event time that windows are judged at, seconds since the epoch.", ["partition"]
)

# trainer
EXAMPLES = Counter("eddy_trainer_examples_total", "Examples learned from.", ["kind"])
STEPS = Counter("eddy_trainer_steps_total", "Gradient steps.", ["part"])
PROGRESSIVE_LOG_LOSS = Gauge(
    "eddy_trainer_progressive_log_loss",
    "Progressive log-loss of shown items over the last window.",
    ["scenario", "model"],
)
PROGRESSIVE_NEXT_ITEM_LOSS = Gauge(
    "eddy_trainer_progressive_next_item_loss", "Progressive list-wise loss of the ranker over the last window."
)
PROGRESSIVE_AUC = Gauge(
    "eddy_trainer_progressive_auc",
    "AUC of the serving model's chance of the main action over the last shown items.",
    ["scenario"],
)
PROGRESSIVE_CALIBRATION = Gauge(
    "eddy_trainer_progressive_calibration",
    "Mean predicted chance of the main action over its observed share.",
    ["scenario"],
)
PROGRESSIVE_NDCG = Gauge(
    "eddy_trainer_progressive_ndcg_at_10", "NDCG@10 of the item that was chosen, among those considered.", ["scenario"]
)
PROGRESSIVE_HR = Gauge(
    "eddy_trainer_progressive_hr_at_10",
    "Share of chosen items that are among the first 10 of those considered.",
    ["scenario"],
)
TRAINER_VERSION = Gauge("eddy_trainer_model_version", "Version of the newest release.")
RELEASES = Counter("eddy_trainer_releases_total", "Releases published.")
HELD_RELEASES = Counter("eddy_trainer_held_releases_total", "Candidates that the release gate held.", ["reason"])
ROLLED_BACK_RELEASES = Counter(
    "eddy_trainer_rolled_back_releases_total",
    "Times that the ranker went back to a release: to one that proved good (log_loss), or to what serves where all since was held (held).",
    ["reason"],
)
ROWS_PUBLISHED = Counter("eddy_trainer_rows_published_total", "Item rows published.")
SHED_REPLAY = Counter("eddy_trainer_shed_replay_steps_total", "Replay steps left out because the trainer lags.")
RELEASE_SECONDS = Histogram(
    "eddy_trainer_release_seconds", "Time to build, check and publish a release.", buckets=_LATENCY
)
CHECKPOINT_SECONDS = Histogram("eddy_trainer_checkpoint_seconds", "Time to write a checkpoint.", buckets=_LATENCY)

# gateway
HTTP_REQUESTS = Counter("eddy_gateway_http_requests_total", "HTTP requests answered.", ["route", "status"])
HTTP_SECONDS = Histogram("eddy_gateway_http_seconds", "Time to answer an HTTP request.", ["route"], buckets=_LATENCY)
