"""Closed sets of reasons: why an input is refused, and why an item is recommended."""

# Refusals: the label `reason` of the dead-letter metric, and the `type` of the gateway's 422.
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
    "bad_signature",
    "bad_features",
    "wrong_key",
    "wrong_partition",
)

# Recommended items: the field `reason` of `recommendations`. With `:<item id>` the reason names an item of the user's history.
SIMILAR_TO = "similar_to"  # with an item: the model finds the two similar
COVISITED = "covisited"  # with an item: users interact with both
PERSONAL = "personal"  # chosen by the model for this user, close to no single item
TRENDING = "trending"
POPULAR = "popular"
NEW = "new"
QUERY = "query"  # matches the query
EXPLORATION = "exploration"  # drawn at random, to learn from
