"""Progress of a benchmark: a bar on a terminal, otherwise a line every ten seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_SEC = 10.0


@contextmanager
def bar(console: Console, label: str, total: int, unit: str = "events") -> Iterator[Callable[[int], None]]:
    """Yields a function that takes the number of `unit` done so far. Calling it is cheap."""
    if not console.is_terminal:
        yield _lines(console, label, total, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)


def _lines(console: Console, label: str, total: int, unit: str) -> Callable[[int], None]:
    started = last = time.monotonic()

    def show(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_EVERY_SEC:
            last = now
            rate = done / (now - started)
            console.print(f"{label}: {done:,} of {total:,} {unit}, {rate:,.0f}/s", highlight=False, soft_wrap=True)

    return show


def offset(show: Callable[[int], None], before: int) -> Callable[[int], None]:
    """The progress function of a part of the work, after `before` units of other parts."""
    return lambda done: show(before + done)
