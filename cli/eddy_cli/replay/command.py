"""`eddy replay`: reads the data set, plays it, prints and writes the report."""

from datetime import UTC, datetime

import numpy as np
import uvloop
from rich.console import Console

from eddy.contract.limits import MAX_CATEGORIES, MAX_ID_CHARS, MAX_TEXT_CHARS
from eddy.contract.records import Item as ItemRecord
from eddy.contract.scenarios import load_scenarios
from eddy.settings import load as load_settings
from eddy_cli.datasets import CatalogueItem, Dataset, load
from eddy_cli.replay.app import replay
from eddy_cli.replay.event_kind import EventKind, event_kind_of
from eddy_cli.replay.options import ReplayOptions
from eddy_cli.replay.settings import ReplaySettings
from eddy_cli.replay.stream import Stream
from eddy_cli.report import Report, figures_table, quality_table, write_json, write_plot


def play(options: ReplayOptions) -> None:
    """Play, print the tables, write the report. Raises ConfigError and FatalError, also in exception groups."""
    settings = load_settings(ReplaySettings)
    console = Console()
    event_kind = event_kind_of(load_scenarios(settings.scenarios_path), options.scenario, options.action)
    dataset = load(options.dataset, options.data)
    stream = stream_of(dataset, event_kind).cut(options.limit, options.users)
    report: Report = uvloop.run(replay(stream, options, settings, console))
    json_path, plot_path = options.output.with_suffix(".json"), options.output.with_suffix(".png")
    write_json(report, json_path)
    write_plot(report, plot_path)
    console.print(quality_table(report), figures_table(report), sep="\n")
    console.print(f"figures in {json_path}, plot in {plot_path}", highlight=False)


def stream_of(dataset: Dataset, event_kind: EventKind) -> Stream:
    """The stream of a data set."""
    has_value = np.ones(len(dataset), bool) if dataset.has_value is None else dataset.has_value
    return Stream(
        dataset=dataset.name,
        user_ids=dataset.user_ids,
        item_ids=dataset.item_ids,
        users=dataset.users.tolist(),
        items=dataset.items.tolist(),
        values=[value if given else None for value, given in zip(dataset.values.tolist(), has_value, strict=True)],
        times_ms=dataset.times_ms.tolist(),
        catalogue=[item_record(item) for item in dataset.catalogue],
        event_kind=event_kind,
    )


def item_record(item: CatalogueItem) -> ItemRecord:
    """The `item` record: genres become categories, the year becomes the publication time. Text is cut to the contract's limits."""
    published = None if item.year is None else round(datetime(item.year, 1, 1, tzinfo=UTC).timestamp() * 1000)
    return {
        "item_id": item.item_id,
        "scenarios": [],
        "title": item.title[:MAX_TEXT_CHARS],
        "text": None,
        "categories": [name[:MAX_ID_CHARS] for name in item.genres[:MAX_CATEGORIES] if name],
        "attributes": {} if item.year is None else {"year": str(item.year)},
        "available": True,
        "published_at": published,
    }
