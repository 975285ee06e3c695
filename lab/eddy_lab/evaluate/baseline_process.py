"""The baselines of a stream, judged in a process of their own while the model plays it."""

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from eddy_cli.baselines import Baseline, Covisitation, Isgd, Popularity, Transitions
from eddy_cli.replay.stream import Stream

Places = dict[str, NDArray[np.int64]]


def baselines_of(items: int, seed: int) -> dict[str, Baseline]:
    """What a model has to beat on a stream of so many items."""
    return {
        "popularity": Popularity(items),
        "transitions of the last 1": Transitions(items, 1),
        "transitions of the last 5": Transitions(items, 5),
        "covisitation": Covisitation(items),
        "ISGD": Isgd(items, seed),
    }


def rank_with_baselines(stream: Stream, seed: int) -> Places:
    """The place of each event's item in the ranking of each baseline, which learns the event right after."""
    baselines = baselines_of(len(stream.item_ids), seed)
    places = {name: np.full(len(stream), -1, np.int64) for name in baselines}
    known: set[int] = set()
    events = zip(stream.users, stream.items, stream.times_ms, strict=True)
    for index, (user, item, at_ms) in enumerate(events):
        for name, baseline in baselines.items():
            if user in known:
                places[name][index] = baseline.rank(user, item)
            baseline.learn(user, item, at_ms)
        known.add(user)
    return places


@contextmanager
def baseline_process(stream: Stream, seed: int) -> Iterator[Future[Places]]:
    """`rank_with_baselines` in another process; it is stopped when the block ends."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future = pool.submit(rank_with_baselines, stream, seed)
        try:
            yield future
        except BaseException:
            for process in (pool._processes or {}).values():
                process.terminate()
            raise
