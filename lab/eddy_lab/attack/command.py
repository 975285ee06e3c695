"""`eddy attack`: play honest events in one process, then attacks, and compare who is recommended what.

Slates differ from hour to hour without any attack: an item that is the tenth for most users is soon the eleventh. So what honest items lose
is judged beside a control, a recommender to which an ordinary time happens instead of the attack.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
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
from eddy_cli.replay.stream import Stream
from eddy_features.core.item_state import ItemPolicy
from eddy_lab.attack.attacks import ATTACKS, Event, Scene
from eddy_lab.attack.exposure import Exposure
from eddy_lab.evaluate.loop import EvaluationLoop, EvaluationLoopPolicy
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.play import play
from eddy_scorer.core.ranking.request import Request
from eddy_trainer.core.budgets import UNBOUNDED, BudgetPolicy
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import LearnerPolicy

BATCH = 16
SLATE = 10
# The verdict: the item is first for at most MAX_FIRST of a group, and no item that was in MIN_SLATES loses more than MAX_LOSS of them,
# beyond what it loses in the control.
MAX_FIRST = 0.02
MAX_LOSS = 0.1
MIN_SLATES = 20
# Honest events of the control, if the attack's duration has fewer.
MIN_CONTROL = 100
# Items that an attacker takes for popular, as the target is not.
POPULAR = 50


@dataclass(frozen=True, slots=True)
class Groups:
    """The slates of users without and with a history."""

    new: Exposure
    known: Exposure

    def lists(self) -> Counter[str]:
        return self.new.lists + self.known.lists


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attack changed: the share of slates in which the promoted item is first, by group, and the honest items that were in at least
    MIN_SLATES and lost more than MAX_LOSS of them, with the numbers before, in the control and after."""

    first_new: float
    first_known: float
    lost: dict[str, tuple[int, int, int]]
    honest: int  # items in at least MIN_SLATES

    @property
    def failed(self) -> bool:
        """Whether the attack achieved nothing."""
        return max(self.first_new, self.first_known) <= MAX_FIRST and not self.lost


class Field:
    """A recommender that has learned from the first `options.limit` events of a stream, and what an attacker sees of it."""

    def __init__(self, whole: Stream, options: Options, bounded: bool = True) -> None:
        """`bounded` False believes everybody."""
        self._whole, stream = whole, whole.cut(options.limit)
        scenarios = load_scenarios(options.scenarios)
        exporter = GraphExporter.cached(options.graphs, options.model, Columns())
        encoder = EncoderPolicy(budgets=BudgetPolicy() if bounded else UNBOUNDED)
        policy = EvaluationLoopPolicy(
            lateness_sec=MAX_SKEW_SEC,
            learning=LearnerPolicy(options.seed, options.model, encoder),
            items=ItemPolicy(bounded=bounded),
        )
        self._loop = EvaluationLoop(scenarios, exporter, policy)
        positions = [NOT_SERVED] * len(stream)
        self._records = ReplayRecords("run", stream.event_kind, SLATE, 0)
        evaluator = ReplayEvaluator(stream, positions, {})
        play(stream, self._loop, self._records, evaluator, positions, WINDOW, round(MAX_SKEW_SEC * 1000))
        self._played = len(stream)
        self._users = [stream.user_ids[user] for user in dict.fromkeys(stream.users)]
        scenario, now = stream.event_kind.scenario, max(stream.times_ms)
        self._scenario = scenario
        shown = [item for item, _ in self._probe(now).lists().most_common()]
        counts = np.bincount(stream.items, minlength=len(stream.item_ids))
        by_count = [stream.item_ids[row] for row in np.argsort(counts, kind="stable").tolist() if counts[row]]
        target = next((item for item in by_count if item not in shown[:POPULAR]), by_count[0])
        rules = scenarios[scenario].actions
        negative = next((action for action, rule in rules.items() if rule.weight < 0), None)
        action = stream.event_kind.action
        self.scene = Scene(scenario, action, negative, now, shown, target, shown[0], options.seed)

    def ordinary(self, duration_ms: int) -> list[Event]:
        """Return the honest events of a time after those that the recommender has learned from."""
        whole, first = self._whole, self._played
        until = bisect_right(whole.times_ms, self.scene.now_ms + duration_ms)
        events = []
        for index in range(first, min(max(until, first + MIN_CONTROL), len(whole))):
            user, item = whole.user_ids[whole.users[index]], whole.item_ids[whole.items[index]]
            (_, event), _ = self._records.action(index, user, item, whole.values[index], whole.times_ms[index], [])
            events.append((user, event))
        return events

    def attack(self, duration_ms: int, events: Sequence[Event]) -> tuple[Groups, Groups]:
        """Play the events of an attack; returns the slates at its end without and with it. What the recommender learns stays."""
        end = self.scene.now_ms + duration_ms
        before = self._probe(end)
        for start in range(0, len(events), BATCH):
            self._loop.apply(events[start : start + BATCH])
        return before, self._probe(end)

    def _probe(self, at_ms: int) -> Groups:
        self._loop.recommender.state.rebuild()
        exposures = []
        for ids in ([f"probe-{number}" for number in range(len(self._users))], self._users):
            slates = []
            for start in range(0, len(ids), BATCH):
                requests = [
                    Request(f"probe-{at_ms}-{user}", user, self._scenario, SLATE, at_ms)
                    for user in ids[start : start + BATCH]
                ]
                slates += self._loop.recommender.recommend(requests, at_ms)
            exposures.append(Exposure.of(slates))
        return Groups(*exposures)


def verdict(promoted: str | None, before: Groups, after: Groups, control: Groups | None = None) -> Verdict:
    """Compare the slates of the same users before and after an attack that promotes an item, or buries one."""
    former, later, ordinary = before.lists(), after.lists(), (control or before).lists()
    honest = {name: count for name, count in former.items() if count >= MIN_SLATES and name != promoted}
    lost = {
        name: (count, ordinary[name], later[name])
        for name, count in honest.items()
        if later[name] < min(count, ordinary[name]) - MAX_LOSS * count
    }
    first_new, first_known = (
        0.0 if promoted is None else each.share_first(promoted) for each in (after.new, after.known)
    )
    return Verdict(first_new, first_known, lost, len(honest))


def attack(names: Sequence[str], options: Options, size: int | None, console: Console) -> bool:
    """Play honest events, then each attack with `size` events on a recommender of its own; print what it changed.

    Returns whether all failed.
    """
    whole, failed = whole_stream(options), True
    controls: dict[int, Groups] = {}
    for name in names:
        duration = ATTACKS[name].duration_ms
        if duration not in controls:
            control = Field(whole, options)
            _, controls[duration] = control.attack(duration, control.ordinary(duration))
        failed &= _play(name, Field(whole, options), size, controls[duration], console).failed
    return failed


def _play(name: str, field: Field, size: int | None, control: Groups, console: Console) -> Verdict:
    played = ATTACKS[name]
    events = list(played.events(field.scene, size or played.size))
    before, after = field.attack(played.duration_ms, events)
    outcome = verdict(played.promotes(field.scene), before, after, control)
    item = played.promotes(field.scene) or field.scene.rival
    report(f"{name}: {played.summary}; {len(events)} events; item {item}", item, before, after, outcome, console)
    return outcome


def report(title: str, item: str, before: Groups, after: Groups, outcome: Verdict, console: Console) -> None:
    """Print what an attack changed."""
    table = Table(title=title)
    for column in ("users", "first before", "first after", "in slates before", "in slates after"):
        table.add_column(column)
    for users, former, later in (("new", before.new, after.new), ("known", before.known, after.known)):
        figures = (former.share_first(item), later.share_first(item), former.share(item), later.share(item))
        table.add_row(users, *(f"{figure:.1%}" for figure in figures))
    console.print(table)
    for name, (count, ordinary, now) in outcome.lost.items():
        console.print(f"{name} fell from {count} slates to {now}; {ordinary} in the control", highlight=False)
    console.print(f"{len(outcome.lost)} of {outcome.honest} honest items lost more than a tenth of their slates.")
    console.print("The attack failed." if outcome.failed else "The attack succeeded.")
