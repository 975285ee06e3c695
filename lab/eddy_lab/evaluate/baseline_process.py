"""The baselines of a stream, ranked in a process of their own while the model plays the stream."""

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from eddy_cli.baselines import Baseline, Covisitation, Isgd, Popularity, Transitions
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.child_process import CONTEXT

Ranks = dict[str, NDArray[np.int64]]


def baselines_of(items: int, seed: int) -> dict[str, Baseline]:
    """The baselines for a stream of `items` items."""
    return {
        "popularity": Popularity(items),
        "transitions of the last 1": Transitions(items, 1),
        "transitions of the last 5": Transitions(items, 5),
        "covisitation": Covisitation(items),
        "ISGD": Isgd(items, seed),
    }


def rank_with_baselines(stream: Stream, seed: int) -> Ranks:
    """Rank [events] of each event's item by each baseline, which then learns the event; -1 for the first event of a user."""
    baselines = baselines_of(len(stream.item_ids), seed)
    ranks = {name: np.full(len(stream), -1, np.int64) for name in baselines}
    known_users: set[int] = set()
    events = zip(stream.users, stream.items, stream.times_ms, strict=True)
    for index, (user, item, at_ms) in enumerate(events):
        for name, baseline in baselines.items():
            if user in known_users:
                ranks[name][index] = baseline.rank(user, item)
            baseline.learn(user, item, at_ms)
        known_users.add(user)
    return ranks


@contextmanager
def baseline_process(stream: Stream, seed: int) -> Iterator[Future[Ranks]]:
    """`rank_with_baselines` in another process, which is terminated if the block fails."""
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        future = pool.submit(rank_with_baselines, stream, seed)
        try:
            yield future
        except BaseException:
            for process in (pool._processes or {}).values():
                process.terminate()
            raise
