"""Every metric of Eddy, declared once: name, type, unit suffix, labels, buckets, one sentence.

Names end in their unit (`_seconds`, `_bytes`, `_total` for counters). Label values are closed sets: a reason is one of REASONS,
a source one of SOURCES. Each process exposes all of them; those of other services stay at zero.
"""

from prometheus_client import Counter, Gauge, Histogram

# The stages of the loop: event, features, slate, impression, label, training, publication of a release, first slate of that release.
# The stage of the slate starts at the request; `slate_to_impression` is the time until the application reports the impression.
HOPS = (
    "event_to_features",
    "request_to_slate",
    "slate_to_impression",
    "action_to_label",
    "training_delay",
    "publish_delay",
    "activation_delay",
)

# Former names of metrics by present name. Boards and alerts query both, so that they also work while services of both versions run.
FORMER_NAMES = {
    "eddy_scorer_slates_total": "eddy_scorer_lists_total",
    "eddy_scorer_slate_items_total": "eddy_scorer_shown_candidates_total",
    "eddy_scorer_activated_releases_total": "eddy_scorer_swaps_total",
    "eddy_joiner_impressions_total": "eddy_joiner_shown_total",
    "eddy_joiner_position_impressions_total": "eddy_joiner_places_shown_total",
    "eddy_joiner_position_interactions_total": "eddy_joiner_places_acted_on_total",
    "eddy_joiner_open_impressions": "eddy_joiner_open_items",
    "eddy_trainer_shed_rehearsal_steps_total": "eddy_trainer_shed_replay_steps_total",
    "eddy_trainer_embeddings_published_total": "eddy_trainer_rows_published_total",
}
FORMER_HOPS = {
    "request_to_slate": "request_to_list",
    "slate_to_impression": "list_to_impression",
    "training_delay": "label_to_gradient",
    "publish_delay": "gradient_to_release",
    "activation_delay": "release_to_list",
}

_LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_FRESHNESS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# Every service
DEAD_LETTERS = Counter(
    "eddy_dead_letters_total", "Unusable messages written to dead-letters.", ["service", "topic", "reason"]
)
RECORDS = Counter("eddy_records_total", "Records consumed.", ["service", "topic"])
LAG = Gauge(
    "eddy_consumer_lag_records",
    "Records between the consumer and the end of the partition.",
    ["service", "topic", "partition"],
)
BATCH_RECORDS = Histogram("eddy_batch_records", "Records per batch.", ["service"], buckets=_BATCH)
STAGE_SECONDS = Histogram(
    "eddy_stage_seconds", "Duration of a stage of one batch.", ["service", "stage"], buckets=_LATENCY
)
LOG_GAPS = Counter(
    "eddy_log_gaps_total",
    "Times that a reader's position was outside of the log: its records were deleted before they were read, or the log was truncated.",
    ["topic", "partition", "kind"],
)
RESTARTS = Counter("eddy_worker_restarts_total", "Workers restarted after a failure.", ["service"])
HOP_SECONDS = Histogram(
    "eddy_loop_hop_seconds", "Delay between two consecutive stages of the loop.", ["hop"], buckets=_FRESHNESS
)
LOOP_SECONDS = Histogram(
    "eddy_loop_seconds",
    "End-to-end delay of the loop: from the append time of an interaction to the first slate ranked by weights trained on it.",
    buckets=_FRESHNESS,
)

# features
EVENTS = Counter("eddy_features_events_total", "Events applied to user features.", ["scenario", "action"])
DUPLICATES = Counter("eddy_features_duplicates_total", "Events dropped because their event_id was already applied.")
ERASURES = Counter("eddy_features_erasures_total", "Users and items erased from the features.", ["kind"])
USERS = Gauge("eddy_features_users", "Users in the state of this instance.")
ITEMS_WITH_STATE = Gauge("eddy_features_items", "Items in the state of this instance.")

# scorer
SLATES = Counter(
    "eddy_scorer_slates_total",
    "Slates published, by trigger: request or push.",
    ["scenario", "trigger"],
)
SLATE_ITEMS = Counter(
    "eddy_scorer_slate_items_total", "Items in published slates, by candidate source.", ["scenario", "source"]
)
EMPTY_SLATES = Counter(
    "eddy_scorer_empty_slates_total", "Published slates without an item: nothing was left to recommend.", ["scenario"]
)
SOURCE_SECONDS = Histogram(
    "eddy_scorer_source_seconds", "Duration of one candidate source for one batch.", ["source"], buckets=_LATENCY
)
SOURCE_FAILURES = Counter(
    "eddy_scorer_source_failures_total",
    "Batches in which a candidate source failed; their slates are made without its candidates.",
    ["source"],
)
MODEL_VERSION = Gauge(
    "eddy_scorer_model_version", "Version of the serving release; 0 is the popularity fallback, with no model yet."
)
ACTIVATED_RELEASES = Counter("eddy_scorer_activated_releases_total", "Releases activated by this scorer.")
REFUSED_RELEASES = Counter("eddy_scorer_refused_releases_total", "Releases refused by this scorer.", ["reason"])
STUCK_RELEASES = Gauge(
    "eddy_scorer_stuck_releases", "Releases whose graphs neither load nor stop; each occupies a thread until a restart."
)
REFUSED_EMBEDDINGS = Counter(
    "eddy_scorer_refused_embeddings_total", "Item embeddings refused by this scorer, because no trainer signed them."
)
COVERAGE = Gauge(
    "eddy_scorer_catalogue_coverage",
    "Share of the scenario's catalogue that this worker recommended in its recent slates.",
    ["scenario"],
)
UNPUBLISHED_ITEMS = Gauge(
    "eddy_scorer_unpublished_items",
    "Items with interactions that are not recommended because they are not published.",
    ["scenario"],
)
EXPOSURE_GINI = Gauge(
    "eddy_scorer_exposure_gini",
    "Gini coefficient of this worker's recent recommendations per item of the scenario; 0 is an even distribution.",
    ["scenario"],
)
TOP_EXPOSURE = Gauge(
    "eddy_scorer_top_exposure_share",
    "Share of this worker's recent slates of the scenario that contain their most recommended item. Only this item has a series.",
    ["scenario", "item"],
)
LATE_ANSWERS = Counter(
    "eddy_scorer_deadline_answers_total",
    "Requests answered at their deadline, before the user features included the last event.",
)
DROPPED_REQUESTS = Counter(
    "eddy_scorer_dropped_requests_total",
    "Requests dropped because their deadline had passed before they were ranked.",
)

# joiner
IMPRESSIONS = Counter("eddy_joiner_impressions_total", "Impressions: items shown to users.", ["scenario"])
LABELS = Counter(
    "eddy_joiner_labels_total",
    "Labels assigned to impressions: positive, negative, or erased together with the user.",
    ["scenario", "label"],
)
POSITION_IMPRESSIONS = Counter(
    "eddy_joiner_position_impressions_total",
    "Impressions, by candidate source and position in the slate.",
    ["scenario", "source", "position"],
)
POSITION_INTERACTIONS = Counter(
    "eddy_joiner_position_interactions_total",
    "Impressions labelled positive, by candidate source and position in the slate.",
    ["scenario", "source", "position"],
)
UPGRADES = Counter("eddy_joiner_upgrades_total", "Upgrade examples written.", ["scenario", "action"])
NEXT_ITEMS = Counter(
    "eddy_joiner_next_items_total",
    "Next-item examples written: shown in a slate or organic.",
    ["scenario", "origin"],
)
SKIPPED = Counter(
    "eddy_joiner_skipped_total", "Invalid user events; the features service writes them to dead-letters.", ["reason"]
)
OPEN_IMPRESSIONS = Gauge("eddy_joiner_open_impressions", "Impressions without a label yet.", ["partition"])
HANDED_OVER = Counter(
    "eddy_joiner_handed_over_total",
    "Open impressions handed over with their partition; the new instance adds them to eddy_joiner_impressions_total.",
)
WATERMARK = Gauge(
    "eddy_joiner_watermark_seconds",
    "Watermark in event time, seconds since the epoch. Attribution windows close when it passes their end.",
    ["partition"],
)
LATENESS = Gauge(
    "eddy_joiner_lateness_seconds", "Extra time for which this joiner keeps slates for late impressions, as set."
)

# trainer
EXAMPLES = Counter("eddy_trainer_examples_total", "Training examples consumed: label, upgrade or next_item.", ["kind"])
STEPS = Counter("eddy_trainer_steps_total", "Gradient steps taken: encoder or ranker.", ["part"])
PROGRESSIVE_LOG_LOSS = Gauge(
    "eddy_trainer_progressive_log_loss",
    "Progressive log-loss of impressions over the last window, of the serving and the candidate model.",
    ["scenario", "model"],
)
PROGRESSIVE_NEXT_ITEM_LOSS = Gauge(
    "eddy_trainer_progressive_next_item_loss", "Progressive list-wise loss of the ranker over the last window."
)
PROGRESSIVE_AUC = Gauge(
    "eddy_trainer_progressive_auc",
    "AUC of the serving model's probability of the main action, over the last impressions.",
    ["scenario"],
)
PROGRESSIVE_CALIBRATION = Gauge(
    "eddy_trainer_progressive_calibration",
    "Mean predicted probability of the main action divided by its observed rate: 1 is calibrated.",
    ["scenario"],
)
PROGRESSIVE_NDCG = Gauge(
    "eddy_trainer_progressive_ndcg_at_10", "NDCG@10 of the chosen item among the candidates.", ["scenario"]
)
PROGRESSIVE_HR = Gauge(
    "eddy_trainer_progressive_hr_at_10",
    "HR@10: share of chosen items that rank among the first 10 candidates.",
    ["scenario"],
)
ENCODER_LOSS = Gauge(
    "eddy_trainer_progressive_encoder_loss",
    "Progressive loss of the encoder's ranking of next items, of the serving and the candidate model; users: known, or new_users, who have "
    "no history.",
    ["scenario", "users", "model"],
)
ENCODER_NDCG = Gauge(
    "eddy_trainer_progressive_encoder_ndcg_at_10",
    "NDCG@10 of the serving encoder's ranking of next items among up to 1,000 random items of the scenario.",
    ["scenario", "users"],
)
ENCODER_HR = Gauge(
    "eddy_trainer_progressive_encoder_hr_at_10",
    "HR@10 of the serving encoder's ranking, as for the NDCG.",
    ["scenario", "users"],
)
DECLINED_INTERACTIONS = Gauge(
    "eddy_trainer_declined_interactions",
    "Interactions that the encoder is not taught, because a budget of the user, the item or the hour was used up.",
)
TRAINER_VERSION = Gauge("eddy_trainer_model_version", "Version of the newest release that was published.")
RELEASES = Counter("eddy_trainer_releases_total", "Releases published.")
TRAINER_REFUSED_RELEASES = Counter(
    "eddy_trainer_refused_releases_total",
    "Records of model-releases that are not authentic releases, as the trainer read them.",
    ["reason"],
)
RESTORED_RELEASES = Counter(
    "eddy_trainer_restored_releases_total",
    "Publications of the newest release again, because another record had taken its slot in model-releases.",
)
HELD_RELEASES = Counter(
    "eddy_trainer_held_releases_total", "Release candidates that the release gate held back.", ["reason"]
)
ROLLED_BACK_RELEASES = Counter(
    "eddy_trainer_rolled_back_releases_total",
    "Rollbacks of the ranker to the last known good release (log_loss), or to the serving one if the gate held back all later ones "
    "(held); of the encoder to its last known good release (encoder_loss).",
    ["reason"],
)
EMBEDDINGS_PUBLISHED = Counter("eddy_trainer_embeddings_published_total", "Item embeddings published.")
SHED_REHEARSAL_STEPS = Counter(
    "eddy_trainer_shed_rehearsal_steps_total", "Rehearsal steps skipped because the trainer lags."
)
RELEASE_SECONDS = Histogram(
    "eddy_trainer_release_seconds", "Duration of building, checking and publishing a release.", buckets=_LATENCY
)
CHECKPOINT_SECONDS = Histogram("eddy_trainer_checkpoint_seconds", "Duration of writing a checkpoint.", buckets=_LATENCY)

# gateway
HTTP_REQUESTS = Counter("eddy_gateway_http_requests_total", "HTTP requests answered.", ["route", "status"])
REFUSED_REQUESTS = Counter(
    "eddy_gateway_refused_requests_total",
    "HTTP requests that were refused before they were carried out, by name of the API key.",
    ["key", "reason"],
)
KEY_REQUESTS = Counter(
    "eddy_gateway_key_requests_total",
    "HTTP requests with a valid API key, by its name; `none` for a gateway without keys.",
    ["key"],
)
ADMITTED = Gauge(
    "eddy_gateway_admitted", "Work in progress: reads in requests, writes in bytes of their bodies.", ["work"]
)
ADMISSION_LIMIT = Gauge(
    "eddy_gateway_admission_limit",
    "Work that may be in progress: as much as is answered in time at present, in the units of eddy_gateway_admitted.",
    ["work"],
)
HTTP_SECONDS = Histogram("eddy_gateway_http_seconds", "Duration of an HTTP request.", ["route"], buckets=_LATENCY)
