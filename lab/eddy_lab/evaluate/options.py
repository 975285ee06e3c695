"""The options of a benchmark."""

from dataclasses import dataclass
from pathlib import Path

from eddy.contract.scenarios import load_scenarios
from eddy_cli.datasets import load
from eddy_cli.replay.command import stream_of
from eddy_cli.replay.event_kind import event_kind_of
from eddy_cli.replay.stream import Stream


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options. `limit` None is the whole data set; `scenario` and `action` apply to streams only.

    `scenarios` is the path of scenarios.yaml, `graphs` the folder of traced graphs, `text_model` as in the settings.
    """

    dataset: str
    data: Path | None
    scenario: str
    action: str
    limit: int | None
    seed: int
    scenarios: Path
    graphs: Path
    model: str
    text_model: str


def whole_stream(options: Options) -> Stream:
    """The whole data set as a stream. Raises ConfigError if the data cannot be read or the scenario or action does not exist."""
    event_kind = event_kind_of(load_scenarios(options.scenarios), options.scenario, options.action)
    return stream_of(load(options.dataset, options.data), event_kind)
