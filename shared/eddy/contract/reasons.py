"""Why an input is refused: the closed set that the dead-letter metric is labelled with."""

REASONS = (
    "undecodable",
    "unknown_scenario",
    "unknown_action",
    "missing_item",
    "missing_user",
    "timestamp_ahead",
    "non_finite",
    "too_long",
    "unknown_request",
    "bad_limit",
    "contract_mismatch",
    "bad_release",
    "bad_features",
    "wrong_key",
)
