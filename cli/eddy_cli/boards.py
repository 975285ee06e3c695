"""The boards of Grafana, written from code: `make boards` puts them into observability/boards.

Loop: is it turning, and how fresh. Learning: is it getting better, scenario by scenario. Services: is everything healthy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendPlacement
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

from eddy.paths import REPO_ROOT

FOLDER = REPO_ROOT / "observability" / "boards"
SOURCE = DataSourceRef(type_val="prometheus", uid="eddy")
WIDTH, HEIGHT = 8, 7  # of 24 columns


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph: what it shows in one sentence, its queries by legend, and the unit of its axis."""

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


LOOP = Board(
    "Eddy: Loop",
    "Is it turning, and how fresh is what it serves?",
    {
        "Is it turning?": [
            Panel(
                "Events",
                "Events applied to user features, by action.",
                {"{{action}}": "sum by (action) (rate(eddy_features_events_total[1m]))"},
                "ops",
            ),
            Panel(
                "Lists",
                "Lists published, by scenario.",
                {"{{scenario}}": "sum by (scenario) (rate(eddy_scorer_lists_total[1m]))"},
                "ops",
            ),
            Panel(
                "Labels",
                "Labels given to shown items.",
                {"{{label}}": "sum by (label) (rate(eddy_joiner_labels_total[1m]))"},
                "ops",
            ),
            Panel(
                "Model version",
                "The newest release and the one that serves: they should rise together.",
                {"released": "max(eddy_trainer_model_version)", "serving": "min(eddy_scorer_model_version > 0)"},
            ),
            Panel(
                "Releases",
                "Releases published, held by the gate, rolled back, and refused by the scorer, a minute.",
                {
                    "published": "60 * sum(rate(eddy_trainer_releases_total[1m]))",
                    "held": "60 * sum(rate(eddy_trainer_held_releases_total[1m])) or vector(0)",
                    "rolled back": "60 * sum(rate(eddy_trainer_rolled_back_releases_total[1m])) or vector(0)",
                    "refused": "60 * sum(rate(eddy_scorer_refused_releases_total[1m])) or vector(0)",
                },
            ),
            Panel(
                "Sources",
                "Places of lists, by the source of their candidate.",
                {"{{source}}": "sum by (source) (rate(eddy_scorer_shown_candidates_total[1m]))"},
                "ops",
            ),
        ],
        "How fresh is it?": [
            Panel(
                "Action to list, end to end",
                "From an action's arrival in Kafka to the first list by weights that learned from it.",
                quantiles("eddy_loop_seconds"),
                "s",
            ),
            Panel(
                "Hops, 95th percentile",
                "Where the time goes. What people take between a list and its impression is theirs.",
                {"{{hop}}": "histogram_quantile(0.95, sum by (le, hop) (rate(eddy_loop_hop_seconds_bucket[1m])))"},
                "s",
            ),
            Panel(
                "Request to list",
                "From a request's arrival in Kafka to the publication of its list.",
                quantiles("eddy_loop_hop_seconds", among='{hop="request_to_list"}'),
                "s",
            ),
        ],
        "Do the books balance?": [
            Panel(
                "Ledger",
                "Shown = labelled + open, since each joiner started.",
                {
                    "shown": "sum(eddy_joiner_shown_total)",
                    "labelled": "sum(eddy_joiner_labels_total)",
                    "open": "sum(eddy_joiner_open_items)",
                },
            ),
            Panel(
                "Difference",
                "Shown less labelled less open: always nothing.",
                {
                    "difference": (
                        "sum(eddy_joiner_shown_total) - sum(eddy_joiner_labels_total) - sum(eddy_joiner_open_items)"
                    )
                },
            ),
            Panel(
                "Examples",
                "Examples that the trainer took in, by kind.",
                {"{{kind}}": "sum by (kind) (rate(eddy_trainer_examples_total[1m]))"},
                "ops",
            ),
        ],
        "What is acted on?": [
            Panel(
                "CTR by scenario",
                "Share of shown items that are labelled positive.",
                {
                    "{{scenario}}": (
                        "sum by (scenario) (rate(eddy_joiner_places_acted_on_total[5m]))"
                        " / sum by (scenario) (rate(eddy_joiner_places_shown_total[5m]))"
                    )
                },
                "percentunit",
            ),
            Panel(
                "CTR by source",
                "The same by the source that brought the item: `random` is what chance is worth.",
                {
                    "{{source}}": (
                        "sum by (source) (rate(eddy_joiner_places_acted_on_total[5m]))"
                        " / sum by (source) (rate(eddy_joiner_places_shown_total[5m]))"
                    )
                },
                "percentunit",
            ),
            Panel(
                "CTR by place",
                "The same by the place of the list, from 0.",
                {
                    "{{position}}": (
                        "sum by (position) (rate(eddy_joiner_places_acted_on_total[5m]))"
                        " / sum by (position) (rate(eddy_joiner_places_shown_total[5m]))"
                    )
                },
                "percentunit",
            ),
        ],
    },
)

LEARNING = Board(
    "Eddy: Learning",
    "Is it getting better, scenario by scenario?",
    {
        "Before it is learned from, every example is predicted": [
            Panel(
                "Log-loss of shown items",
                "By the weights that serve and by those in training, over the last window.",
                {"{{scenario}}, {{model}}": "eddy_trainer_progressive_log_loss"},
            ),
            Panel(
                "AUC",
                "Of the chance of the main action over the last shown items of each scenario.",
                {"{{scenario}}": "eddy_trainer_progressive_auc"},
            ),
            Panel(
                "Calibration",
                "Predicted over observed share of the main action: 1 is right.",
                {"{{scenario}}": "eddy_trainer_progressive_calibration"},
            ),
            Panel(
                "NDCG@10",
                "Of the item that was chosen, among those considered.",
                {"{{scenario}}": "eddy_trainer_progressive_ndcg_at_10"},
            ),
            Panel(
                "HR@10",
                "Share of chosen items among the first 10 of those considered.",
                {"{{scenario}}": "eddy_trainer_progressive_hr_at_10"},
                "percentunit",
            ),
            Panel(
                "List-wise loss",
                "Of the ranker, over the last window.",
                {"loss": "max(eddy_trainer_progressive_next_item_loss)"},
            ),
        ],
        "What it learns from, and how": [
            Panel(
                "Gradient steps",
                "Steps by part, and replayed ones left out because the trainer lags.",
                {
                    "{{part}}": "sum by (part) (rate(eddy_trainer_steps_total[1m]))",
                    "left out": "sum(rate(eddy_trainer_shed_replay_steps_total[1m]))",
                },
                "ops",
            ),
            Panel(
                "Item rows published",
                "Rows that moved, or that a new process says again.",
                {"rows": "sum(rate(eddy_trainer_rows_published_total[1m]))"},
                "ops",
            ),
            Panel(
                "Time of a release", "To build, check and publish one.", quantiles("eddy_trainer_release_seconds"), "s"
            ),
        ],
        "What becomes of the catalogue": [
            Panel(
                "Coverage",
                "Share of a scenario's items that stood in lists of late; the mean of the workers, each since it started.",
                {"{{scenario}}": "avg by (scenario) (eddy_scorer_catalogue_coverage)"},
                "percentunit",
            ),
            Panel(
                "Exposure Gini",
                "How unequally items are listed: 0 is all alike, 1 is one item alone; the mean of the workers.",
                {"{{scenario}}": "avg by (scenario) (eddy_scorer_exposure_gini)"},
            ),
        ],
    },
)

SERVICES = Board(
    "Eddy: Services",
    "Is everything healthy?",
    {
        "Up and keeping up": [
            Panel("Up", "Workers that answer.", {"{{service}}": "sum by (service) (up)"}),
            Panel(
                "Lag",
                "Records behind the end of the topic.",
                {"{{service}} {{topic}}": "sum by (service, topic) (eddy_consumer_lag_records)"},
            ),
            Panel(
                "Dead letters",
                "Inputs refused, by reason, a minute.",
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
                "How often a service was started anew in the last five minutes.",
                {"{{service}}": "sum by (service) (changes(process_start_time_seconds[5m]))"},
            ),
            Panel("Batches", "Records in a batch.", quantiles("eddy_batch_records", "service")),
        ],
        "Speed": [
            Panel(
                "Stages, 95th percentile",
                "Time a batch spends in a stage.",
                {
                    "{{service}} {{stage}}": (
                        "histogram_quantile(0.95, sum by (le, service, stage) (rate(eddy_stage_seconds_bucket[1m])))"
                    )
                },
                "s",
            ),
            Panel(
                "HTTP, 95th percentile",
                "Time to answer at the gateway.",
                {
                    "{{route}}": "histogram_quantile(0.95, sum by (le, route) (rate(eddy_gateway_http_seconds_bucket[1m])))"
                },
                "s",
            ),
            Panel(
                "HTTP answers",
                "By status.",
                {"{{status}}": "sum by (status) (rate(eddy_gateway_http_requests_total[1m]))"},
                "ops",
            ),
        ],
        "What it costs": [
            Panel("CPU", "Cores.", {"{{service}}": "sum by (service) (rate(process_cpu_seconds_total[1m]))"}),
            Panel("Memory", "Resident.", {"{{service}}": "sum by (service) (process_resident_memory_bytes)"}, "bytes"),
            Panel(
                "State",
                "Users and items with state.",
                {"users": "sum(eddy_features_users)", "items": "sum(eddy_features_items)"},
            ),
        ],
    },
)

BOARDS = {"loop": LOOP, "learning": LEARNING, "services": SERVICES}


def main() -> None:
    """Write every board."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, board in BOARDS.items():
        path = FOLDER / f"{name}.json"
        path.write_text(as_json(name, board))
        print(f"written: {path.relative_to(REPO_ROOT)}")


def as_json(name: str, board: Board) -> str:
    """The board in Grafana's layout; `name` is its uid."""
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
    # Grafana tells the answers of a panel's queries apart by these letters.
    for letter, (legend, query) in zip(ascii_uppercase, panel.queries.items(), strict=False):
        made.with_target(prometheus.Dataquery().ref_id(letter).expr(query).legend_format(legend))
    return made


if __name__ == "__main__":
    main()
