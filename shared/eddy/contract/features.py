"""Ranking features of a candidate: the scorer computes and logs them by name, and the trainer trains on the logged values.

To add one, append a line here and compute it in the scorer; a checkpoint or a release without it goes on, with weight zero for it. To
rename one, put its former name among its aliases. To take one away, delete its line.

A "rank" is log1p of the position among the candidates by that score, best first; a "share" is smoothed to stay finite for an item without
counts.
"""

from collections.abc import Iterable

from eddy.contract.columns import NamedColumn, aliases_of, names_of
from eddy.contract.sources import FLAGGED_SOURCES

DECLARED_FEATURES = (
    NamedColumn("encoder_score", "User vector . item row + bias; 0 without a model."),
    NamedColumn("encoder_rank", "Rank by `encoder_score`; items without a row come last."),
    NamedColumn(
        "covisit_score",
        "log1p of the symmetric decayed co-visitation with the last 20 items of the history, normalised by popularity.",
    ),
    NamedColumn("covisit_rank", "Rank by `covisit_score`."),
    NamedColumn("transition_last_1", "Log odds, smoothed, that the item follows the last item of the history."),
    NamedColumn("transition_last_5", "The same over the last five items, decayed by position."),
    NamedColumn("transition_rank", "Rank by `transition_last_5`."),
    NamedColumn("popularity", "log1p of slowly decayed interactions in the scenario."),
    NamedColumn("popularity_rank", "Rank by `popularity`."),
    NamedColumn("trend", "log1p of fast decayed interactions in the scenario."),
    NamedColumn("trend_rank", "Rank by `trend`."),
    NamedColumn("velocity", "Log ratio of the fast to the slow count."),
    NamedColumn("click_share", "Log odds of the smoothed clicks per impression."),
    NamedColumn("impressions", "log1p of slowly decayed impressions in the scenario.", ("shown",)),
    NamedColumn("total_interactions", "log1p of all interactions ever, in all scenarios.", ("total",)),
    NamedColumn("item_age", "log1p of the days since the item was published or first interacted with."),
    NamedColumn("is_new", "1 when no user has interacted with the item."),
    NamedColumn("content_match", "Cosine of the categories of the item and of the history."),
    NamedColumn("last_content_match", "Cosine of the categories of the item and of the last item of the history."),
    NamedColumn("history_length", "log1p of the interactions in the history."),
    NamedColumn("history_gap", "log1p of the seconds since the last interaction."),
    NamedColumn("history_value", "Mean normalised value of the history."),
    NamedColumn("last_value", "Normalised value of the last interaction."),
    NamedColumn(
        "item_value", "Mean explicit rating (normalised) of the item in all scenarios, shrunk towards the overall mean."
    ),
    NamedColumn(
        "user_bias",
        "User bias: mean of the user's ratings less those of others on the same items, shrunk towards 0.",
        ("user_level",),
    ),
    NamedColumn(
        "user_rating_deviation",
        "Standard deviation of the user's ratings less the user bias, shrunk towards a quarter.",
        ("user_spread",),
    ),
    NamedColumn(
        "quality_affinity",
        "Slope of the user's ratings by the items' mean ratings, times this item's mean less the overall mean.",
        ("like_what_others_like",),
    ),
    NamedColumn(
        "popularity_affinity",
        "Slope of the user's ratings by the items' `total_interactions`, times this item's less the mean of the history.",
        ("like_what_others_know",),
    ),
    NamedColumn(
        "category_rating",
        "The user's ratings less the user bias, weighted by similarity of categories.",
        ("opinion_of_categories",),
    ),
    NamedColumn(
        "neighbour_rating",
        "The user's ratings less the user bias, weighted by similarity of item embeddings.",
        ("opinion_of_neighbours",),
    ),
    *(NamedColumn(f"from_{name}", f"1 when the source `{name}` proposed the candidate.") for name in FLAGGED_SOURCES),
    NamedColumn("has_model", "1 when a release served the slate."),
)

FEATURES = names_of(DECLARED_FEATURES)
FEATURE_ALIASES = aliases_of(DECLARED_FEATURES)


def features_without(off: Iterable[str]) -> tuple[str, ...]:
    """The features but for those that are switched `off`, by present or former names. Raises ValueError for an unknown name."""
    disabled = {FEATURE_ALIASES.get(name, name) for each in off if (name := each.strip())}
    unknown = sorted(disabled - set(FEATURES))
    if unknown:
        raise ValueError(f"unknown ranking feature {unknown[0]!r}. Supported: {', '.join(FEATURES)}")
    if disabled == set(FEATURES):
        raise ValueError("every ranking feature is disabled; at least one must stay enabled")
    return tuple(name for name in FEATURES if name not in disabled)
