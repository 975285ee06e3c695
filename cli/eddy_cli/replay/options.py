"""Options of a replay."""

from dataclasses import dataclass
from pathlib import Path

# MovieLens is played as ratings of videos.
SCENARIO, ACTION = "video", "rate"
WINDOW = 8192
# An impression may be that far behind the newest event of its partition, and the joiner's lateness has to allow for it.
MAX_SKEW_SEC = 604_800.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Validated options. `speed` is event time per real time, `rate` is events per second; None for both plays as fast as possible.

    None for `limit` and `users` plays all of them.
    """

    dataset: str = "ml-100k"
    data: Path | None = None
    scenario: str = SCENARIO
    action: str = ACTION
    limit: int | None = None
    users: int | None = None
    speed: float | None = None
    rate: float | None = None
    window: int = WINDOW
    max_skew_sec: float = MAX_SKEW_SEC
    deadline_sec: float = 5.0
    ready_within_sec: float = 120.0
    output: Path = Path("reports/demo")
