"""What every protocol is asked."""

from dataclasses import dataclass
from pathlib import Path

from eddy.contract.scenarios import load_scenarios
from eddy_cli.datasets import load
from eddy_cli.replay.command import stream_of
from eddy_cli.replay.event_kind import event_kind_of
from eddy_cli.replay.stream import Stream


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked. None for `limit` is the whole data set; only streams are played as an `action` of a `scenario`."""

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
    """The data set as it is played, before `limit`. Raises ConfigError where it, or what it is played as, cannot be had."""
    event_kind = event_kind_of(load_scenarios(options.scenarios), options.scenario, options.action)
    return stream_of(load(options.dataset, options.data), event_kind)
