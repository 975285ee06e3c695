"""Progress of the replay: a bar on a terminal, otherwise a line every ten seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE = "{rate:.0f} events/s, HR@10 {hit_rate:.3f}, model {version}, lag {waiting} requests, {lag} examples"
_LINE_EVERY_SEC = 10.0


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """Events played, requests without an answer, and examples that the newest release is not trained on."""

    events: int
    hit_rate: float
    version: int
    waiting: int
    lag: int


class ProgressView:
    """Shows the progress of a replay of `total` events; times are seconds of a monotonic clock."""

    def __init__(self, console: Console, bar: Progress | None, total: int, started: float) -> None:
        self._console = console
        self._bar = bar
        self._task = bar.add_task("replay", total=total, line="") if bar else None
        self._total = total
        self._last_events = 0
        self._last_at = started
        self._last_line_at = started
        self._rate = 0.0

    def show(self, progress: ReplayProgress, now: float) -> None:
        """Show the present state; a few times a second is enough."""
        if now - self._last_at >= 1.0:
            self._rate = (progress.events - self._last_events) / (now - self._last_at)
            self._last_events, self._last_at = progress.events, now
        line = _LINE.format(
            rate=self._rate,
            hit_rate=progress.hit_rate,
            version=progress.version,
            waiting=progress.waiting,
            lag=progress.lag,
        )
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=progress.events, line=line)
        elif now - self._last_line_at >= _LINE_EVERY_SEC:
            self._last_line_at = now
            self._console.print(
                f"{progress.events:,} of {self._total:,} events; {line}", highlight=False, soft_wrap=True
            )


@contextmanager
def progress_view(console: Console, total: int, started: float) -> Iterator[ProgressView]:
    """A view that is closed at the end."""
    if not console.is_terminal:
        yield ProgressView(console, None, total, started)
        return
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[line]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        yield ProgressView(console, bar, total, started)
