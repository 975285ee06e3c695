"""What every protocol is asked."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked. None for `limit` is the whole data set."""

    dataset: str
    data: Path | None
    limit: int | None
    seed: int
    scenarios: Path
    graphs: Path
    model: str
    text_model: str
