"""The Grafana boards as code: `make boards` writes them to observability/boards.

Loop: does it run, and how fresh are its recommendations. Learning: does the model get better, by scenario. Services: are they healthy.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendPlacement
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

from eddy.metrics import FORMER_NAMES
from eddy.paths import checkout

SOURCE = DataSourceRef(type_val="prometheus", uid="eddy")
WIDTH, HEIGHT = 8, 7  # in a grid of 24 columns


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph with a description, its queries by legend, and the unit of its axis."""

    title: str
    says: str
    queries: Mapping[str, str]
    unit: str = "short"


@dataclass(frozen=True, slots=True)
class Board:
    """Rows of panels."""

    title: str
    says: str
    rows: Mapping[str, Sequence[Panel]]


def quantiles(metric: str, by: str = "", among: str = "") -> dict[str, str]:
    """Median and 95th percentile of a histogram over the last minute, for each value of the label `by`."""
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return {
        f"{legend}p{round(100 * share)}": (
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{among}[1m])))"
        )
        for share in (0.5, 0.95)
    }


def with_former_names(query: str) -> str:
    """The query with the former name of each renamed metric as an alternative, series by series."""
    for name, former in FORMER_NAMES.items():
        query = re.sub(rf"(rate\()?\b{name}\b(\[\w+\]\))?", rf"(\g<0> or \g<1>{former}\g<2>)", query)
    return query


LOOP = Board(
    "Eddy: Loop",
    "Does the loop run, and how fresh are its recommendations?",
    {
        "Does the loop run?": [
            Panel(
                "Events",
                "Events applied to user features, by action.",
                {"{{action}}": "sum by (action) (rate(eddy_features_events_total[1m]))"},
                "ops",
            ),
            Panel(
                "Slates",
                "Slates published, by scenario, and those without an item.",
                {
                    "{{scenario}}": "sum by (scenario) (rate(eddy_scorer_slates_total[1m]))",
                    "{{scenario}}, empty": "sum by (scenario) (rate(eddy_scorer_empty_slates_total[1m]))",
                },
                "ops",
            ),
            Panel(
                "Labels",
                "Labels of impressions.",
                {"{{label}}": "sum by (label) (rate(eddy_joiner_labels_total[1m]))"},
                "ops",
            ),
            Panel(
                "Model version",
                "Version of the newest release and of the serving one. Both should rise together.",
                {"released": "max(eddy_trainer_model_version)", "serving": "min(eddy_scorer_model_version > 0)"},
            ),
            Panel(
                "Releases",
                "Releases per minute: published, held back by the release gate, rolled back, refused by the scorer.",
                {
                    "published": "60 * sum(rate(eddy_trainer_releases_total[1m]))",
                    "held": "60 * sum(rate(eddy_trainer_held_releases_total[1m])) or vector(0)",
                    "rolled back": "60 * sum(rate(eddy_trainer_rolled_back_releases_total[1m])) or vector(0)",
                    "refused": "60 * sum(rate(eddy_scorer_refused_releases_total[1m])) or vector(0)",
                },
            ),
            Panel(
                "Sources",
                "Items in published slates, by candidate source.",
                {"{{source}}": "sum by (source) (rate(eddy_scorer_slate_items_total[1m]))"},
                "ops",
            ),
        ],
        "How fresh are the recommendations?": [
            Panel(
                "Action to slate, end to end",
                "From the append time of an interaction to the first slate ranked by weights trained on it.",
                quantiles("eddy_loop_seconds"),
                "s",
            ),
            Panel(
                "Delays of the loop, 95th percentile",
                "Delay of each stage of the loop. `slate_to_impression` is the time until the impression is reported.",
                {"{{hop}}": "histogram_quantile(0.95, sum by (le, hop) (rate(eddy_loop_hop_seconds_bucket[1m])))"},
                "s",
            ),
            Panel(
                "Request to slate",
                "From the append time of a request to the publication of its slate.",
                quantiles("eddy_loop_hop_seconds", among='{hop=~"request_to_slate|request_to_list"}'),
                "s",
            ),
        ],
        "Does every impression get its label?": [
            Panel(
                "Impression ledger",
                "Impressions = labelled + open, since each joiner started.",
                {
                    "impressions": "sum(eddy_joiner_impressions_total)",
                    "labelled": "sum(eddy_joiner_labels_total)",
                    "open": "sum(eddy_joiner_open_impressions)",
                },
            ),
            Panel(
                "Unaccounted impressions",
                "Impressions minus labelled minus open. Always 0.",
                {
                    "unaccounted": (
                        "sum(eddy_joiner_impressions_total) - sum(eddy_joiner_labels_total) - sum(eddy_joiner_open_impressions)"
                    )
                },
            ),
            Panel(
                "Examples",
                "Training examples consumed, by kind.",
                {"{{kind}}": "sum by (kind) (rate(eddy_trainer_examples_total[1m]))"},
                "ops",
            ),
        ],
        "Which recommendations are clicked?": [
            Panel(
                "CTR by scenario",
                "Share of impressions labelled positive.",
                {
                    "{{scenario}}": (
                        "sum by (scenario) (rate(eddy_joiner_position_interactions_total[5m]))"
                        " / sum by (scenario) (rate(eddy_joiner_position_impressions_total[5m]))"
                    )
                },
                "percentunit",
            ),
            Panel(
                "CTR by source",
                "Share of impressions labelled positive, by candidate source. `random` is the rate of items chosen at random.",
                {
                    "{{source}}": (
                        "sum by (source) (rate(eddy_joiner_position_interactions_total[5m]))"
                        " / sum by (source) (rate(eddy_joiner_position_impressions_total[5m]))"
                    )
                },
                "percentunit",
            ),
            Panel(
                "CTR by position",
                "Share of impressions labelled positive, by position in the slate, from 0.",
                {
                    "{{position}}": (
                        "sum by (position) (rate(eddy_joiner_position_interactions_total[5m]))"
                        " / sum by (position) (rate(eddy_joiner_position_impressions_total[5m]))"
                    )
                },
                "percentunit",
            ),
        ],
    },
)

LEARNING = Board(
    "Eddy: Learning",
    "Does the model improve, by scenario?",
    {
        "Quality, measured on each example before training on it": [
            Panel(
                "Log-loss of impressions",
                "Of the serving weights and of those in training, over the last window.",
                {"{{scenario}}, {{model}}": "eddy_trainer_progressive_log_loss"},
            ),
            Panel(
                "AUC",
                "Of the predicted probability of the main action, over the last impressions of each scenario.",
                {"{{scenario}}": "eddy_trainer_progressive_auc"},
            ),
            Panel(
                "Calibration",
                "Predicted probability of the main action divided by its observed rate. 1 is calibrated.",
                {"{{scenario}}": "eddy_trainer_progressive_calibration"},
            ),
            Panel(
                "NDCG@10",
                "Of the chosen item among the candidates.",
                {"{{scenario}}": "eddy_trainer_progressive_ndcg_at_10"},
            ),
            Panel(
                "HR@10",
                "Share of chosen items that rank among the first 10 candidates.",
                {"{{scenario}}": "eddy_trainer_progressive_hr_at_10"},
                "percentunit",
            ),
            Panel(
                "List-wise loss",
                "Of the ranker on next-item examples, over the last window.",
                {"loss": "max(eddy_trainer_progressive_next_item_loss)"},
            ),
        ],
        "Training": [
            Panel(
                "Gradient steps",
                "Steps by part of the model, and rehearsal steps skipped because the trainer lags.",
                {
                    "{{part}}": "sum by (part) (rate(eddy_trainer_steps_total[1m]))",
                    "skipped": "sum(rate(eddy_trainer_shed_rehearsal_steps_total[1m]))",
                },
                "ops",
            ),
            Panel(
                "Item embeddings published",
                "Embeddings that changed. A new process publishes all of them once.",
                {"embeddings": "sum(rate(eddy_trainer_embeddings_published_total[1m]))"},
                "ops",
            ),
            Panel(
                "Duration of a release",
                "Of building, checking and publishing it.",
                quantiles("eddy_trainer_release_seconds"),
                "s",
            ),
        ],
        "Catalogue": [
            Panel(
                "Coverage",
                "Share of the scenario's catalogue in recent slates. Mean over workers, each since it started.",
                {"{{scenario}}": "avg by (scenario) (eddy_scorer_catalogue_coverage)"},
                "percentunit",
            ),
            Panel(
                "Exposure Gini",
                "Inequality of recommendations between items: 0 is an even distribution, 1 is a single item. Mean over workers.",
                {"{{scenario}}": "avg by (scenario) (eddy_scorer_exposure_gini)"},
            ),
        ],
    },
)

SERVICES = Board(
    "Eddy: Services",
    "Are the services healthy?",
    {
        "Health and lag": [
            Panel("Up", "Workers that answer Prometheus.", {"{{service}}": "sum by (service) (up)"}),
            Panel(
                "Lag",
                "Records between the consumer's position and the end of the topic.",
                {"{{service}} {{topic}}": "sum by (service, topic) (eddy_consumer_lag_records)"},
            ),
            Panel(
                "Dead letters",
                "Dead letters per minute, by reason.",
                {
                    "{{service}} {{reason}}": (
                        "60 * sum by (service, reason) (rate(eddy_dead_letters_total[5m])) or vector(0)"
                    )
                },
            ),
            Panel(
                "Records",
                "Records consumed.",
                {"{{service}} {{topic}}": "sum by (service, topic) (rate(eddy_records_total[1m]))"},
                "ops",
            ),
            Panel(
                "Restarts",
                "Process restarts in the last five minutes.",
                {"{{service}}": "sum by (service) (changes(process_start_time_seconds[5m]))"},
            ),
            Panel("Batches", "Records per batch.", quantiles("eddy_batch_records", "service")),
        ],
        "Speed": [
            Panel(
                "Stages, 95th percentile",
                "Duration of each stage of a batch.",
                {
                    "{{service}} {{stage}}": (
                        "histogram_quantile(0.95, sum by (le, service, stage) (rate(eddy_stage_seconds_bucket[1m])))"
                    )
                },
                "s",
            ),
            Panel(
                "HTTP, 95th percentile",
                "Duration of a request at the gateway, by route.",
                {
                    "{{route}}": "histogram_quantile(0.95, sum by (le, route) (rate(eddy_gateway_http_seconds_bucket[1m])))"
                },
                "s",
            ),
            Panel(
                "HTTP answers",
                "Answers of the gateway, by status.",
                {"{{status}}": "sum by (status) (rate(eddy_gateway_http_requests_total[1m]))"},
                "ops",
            ),
            Panel(
                "HTTP refusals",
                "Requests that the gateway refused, by reason; requests that the scorer dropped at their deadline.",
                {
                    "{{reason}}": "sum by (reason) (rate(eddy_gateway_refused_requests_total[1m]))",
                    "dropped": "sum(rate(eddy_scorer_dropped_requests_total[1m]))",
                },
                "ops",
            ),
        ],
        "Resources": [
            Panel("CPU", "Cores in use.", {"{{service}}": "sum by (service) (rate(process_cpu_seconds_total[1m]))"}),
            Panel(
                "Memory",
                "Resident memory.",
                {"{{service}}": "sum by (service) (process_resident_memory_bytes)"},
                "bytes",
            ),
            Panel(
                "State",
                "Users and items in the state of the features workers.",
                {"users": "sum(eddy_features_users)", "items": "sum(eddy_features_items)"},
            ),
        ],
    },
)

BOARDS = {"loop": LOOP, "learning": LEARNING, "services": SERVICES}


def write_boards(folder: Path | None = None) -> list[Path]:
    """Write all boards to `folder`, by default that of the checkout; returns their paths. Raises ConfigError outside of a checkout."""
    folder = folder or checkout() / "observability" / "boards"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, board in BOARDS.items():
        path = folder / f"{name}.json"
        path.write_text(as_json(name, board))
        written.append(path)
    return written


def as_json(name: str, board: Board) -> str:
    """The board as Grafana's JSON; `name` is its uid."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"eddy-{name}")
        .description(board.says)
        .tags(["eddy"])
        .refresh("5s")
        .time("now-15m", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
    )
    for title, panels in board.rows.items():
        made.with_row(dashboard.Row(title))
        for panel in panels:
            made.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _panel(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(WIDTH)
        .height(HEIGHT)
        .line_width(2)
        .fill_opacity(8)
        .legend(common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM))
    )
    # Grafana identifies the queries of a panel by these letters.
    for letter, (legend, query) in zip(ascii_uppercase, panel.queries.items(), strict=False):
        made.with_target(prometheus.Dataquery().ref_id(letter).expr(with_former_names(query)).legend_format(legend))
    return made
