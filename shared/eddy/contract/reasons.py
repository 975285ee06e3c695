"""Why an input is refused: the closed set that the dead-letter metric is labelled with, and the `type` of the gateway's 422."""

REASONS = (
    "undecodable",
    "unknown_scenario",
    "unknown_action",
    "missing_item",
    "missing_user",
    "empty_name",
    "timestamp_ahead",
    "non_finite",
    "out_of_range",
    "too_long",
    "unknown_request",
    "bad_limit",
    "contract_mismatch",
    "bad_release",
    "bad_features",
    "wrong_key",
)
