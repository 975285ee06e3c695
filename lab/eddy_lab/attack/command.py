"""`eddy attack`: play honest events in one process, then an attack, and compare who is recommended what."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from eddy.contract.model import Columns
from eddy.contract.scenarios import load_scenarios
from eddy_cli.replay.options import MAX_SKEW_SEC, WINDOW
from eddy_cli.replay.player import NOT_SERVED
from eddy_cli.replay.quality import ReplayEvaluator
from eddy_cli.replay.records import ReplayRecords
from eddy_lab.attack.attacks import ATTACKS, HOUR_MS, Attack, Scene
from eddy_lab.attack.exposure import Exposure
from eddy_lab.evaluate.loop import EvaluationLoop, EvaluationLoopPolicy
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.play import play
from eddy_scorer.core.ranking.request import Request
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import LearnerPolicy

BATCH = 16
SLATE = 10
# The verdict: the item is first for at most MAX_FIRST of a group, and no item that was in MIN_SLATES loses more than MAX_LOSS of them.
MAX_FIRST = 0.02
MAX_LOSS = 0.1
MIN_SLATES = 20


@dataclass(frozen=True, slots=True)
class Groups:
    """The slates of users without and with a history."""

    new: Exposure
    known: Exposure

    def lists(self) -> Counter[str]:
        return self.new.lists + self.known.lists


def attack(name: str, options: Options, size: int | None, console: Console) -> bool:
    """Play attack `name` with `size` events; print what it changed. Returns whether it failed."""
    stream, scenarios = whole_stream(options).cut(options.limit), load_scenarios(options.scenarios)
    exporter = GraphExporter.cached(options.graphs, options.model, Columns())
    policy = EvaluationLoopPolicy(lateness_sec=MAX_SKEW_SEC, learning=LearnerPolicy(options.seed, options.model))
    loop = EvaluationLoop(scenarios, exporter, policy)
    positions = [NOT_SERVED] * len(stream)
    records = ReplayRecords("run", stream.event_kind, SLATE, 0)
    play(stream, loop, records, ReplayEvaluator(stream, positions, {}), positions, WINDOW, round(MAX_SKEW_SEC * 1000))
    scenario, now = stream.event_kind.scenario, max(stream.times_ms)
    users = [stream.user_ids[user] for user in dict.fromkeys(stream.users)]
    before = _probe(loop, scenario, users, now)
    shown = [item for item, _ in before.lists().most_common()]
    counts = np.bincount(stream.items, minlength=len(stream.item_ids))
    target = next(
        stream.item_ids[row]
        for row in np.argsort(counts, kind="stable").tolist()
        if counts[row] and stream.item_ids[row] not in shown[:50]
    )
    rules = scenarios[scenario].actions
    negative = next((action for action, rule in rules.items() if rule.weight < 0), None)
    scene = Scene(scenario, stream.event_kind.action, negative, now, shown, target, shown[0], options.seed)
    played = ATTACKS[name]
    events = list(played.events(scene, size or played.size))
    for start in range(0, len(events), BATCH):
        loop.apply(events[start : start + BATCH])
    after = _probe(loop, scenario, users, now + HOUR_MS)
    return _report(played, scene, before, after, console)


def _probe(loop: EvaluationLoop, scenario: str, users: list[str], at_ms: int) -> Groups:
    loop.recommender.state.rebuild()
    exposures = []
    for ids in ([f"probe-{number}" for number in range(len(users))], users):
        slates = []
        for start in range(0, len(ids), BATCH):
            requests = [
                Request(f"probe-{at_ms}-{user}", user, scenario, SLATE, at_ms) for user in ids[start : start + BATCH]
            ]
            slates += loop.recommender.recommend(requests, at_ms)
        exposures.append(Exposure.of(slates))
    return Groups(*exposures)


def _report(played: Attack, scene: Scene, before: Groups, after: Groups, console: Console) -> bool:
    promoted = played.promotes(scene)
    item = promoted or scene.rival
    table = Table(title=f"{played.name}: {played.summary}; item {item}")
    for column in ("users", "first before", "first after", "in slates before", "in slates after"):
        table.add_column(column)
    for users, former, later in (("new", before.new, after.new), ("known", before.known, after.known)):
        figures = (former.share_first(item), later.share_first(item), former.share(item), later.share(item))
        table.add_row(users, *(f"{figure:.1%}" for figure in figures))
    console.print(table)
    former_lists, later_lists = before.lists(), after.lists()
    lost = {
        name: (count, later_lists[name])
        for name, count in former_lists.items()
        if count >= MIN_SLATES and name != promoted and later_lists[name] < (1 - MAX_LOSS) * count
    }
    for name, (former_count, later_count) in lost.items():
        console.print(f"{name} fell from {former_count} slates to {later_count}", highlight=False)
    first = promoted is not None and max(after.new.share_first(item), after.known.share_first(item)) > MAX_FIRST
    console.print("The attack succeeded." if first or lost else "The attack failed.")
    return not (first or lost)
