"""The last known good release, kept to roll back to: one of the ranker, one of the encoder.

The release gate sees the examples before a release and compares with the serving release. A step that goes wrong just before a release
passes, and from then on a bad candidate is no worse than the serving release. Therefore one release is kept that was evaluated on a window
of later examples, and the model in training is compared with it on examples that neither was trained on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from eddy_trainer.core.progressive import Losses, LossWindow
from eddy_trainer.core.release_gate import GatePolicy, is_conclusive, is_worse

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class ReleasedModel(Generic[M]):
    """A released model and its version."""

    model: M
    version: int


@dataclass(frozen=True, slots=True)
class ComparisonRule:
    """How releases are compared: on `windows` windows, by the losses on the last `required` examples.

    A release is worse if the `worse` (any or all) of its windows say so. It counts as good once it is worse on none, after `required`
    examples of the first window, when the first `conclusive` windows have enough of them.
    """

    windows: int
    required: int
    conclusive: int
    worse: Callable[[Iterable[bool]], bool]


# Labels of impressions, then next items. A difference on one of them may be a shift in the data, such as negatives that arrive later than
# positives; training corrects that.
RANKER_RULE = ComparisonRule(windows=2, required=2000, conclusive=2, worse=all)
# Next items of users with a history, then of users without; the latter may be rare.
ENCODER_RULE = ComparisonRule(windows=2, required=1000, conclusive=1, worse=any)


class _Comparison:
    def __init__(self, rule: ComparisonRule) -> None:
        self._rule = rule
        self.windows = [LossWindow(rule.required) for _ in range(rule.windows)]

    def add(self, former: list[Losses], later: list[Losses]) -> None:
        for window, *losses in zip(self.windows, former, later, strict=True):
            window.add(*losses)

    def is_worse(self, policy: GatePolicy) -> bool:
        return self._rule.worse(is_worse(window.compare(), policy) for window in self.windows)

    def is_good(self, policy: GatePolicy) -> bool:
        compared = [window.compare() for window in self.windows]
        enough = compared[0].count >= self._rule.required
        enough &= all(is_conclusive(each, policy) for each in compared[: self._rule.conclusive])
        return enough and not any(is_worse(each, policy) for each in compared)


class LastKnownGood(Generic[M]):
    """`release` is the last known good release, or the first one; `successor` replaces it once it has proved good."""

    def __init__(self, rule: ComparisonRule) -> None:
        self.release: ReleasedModel[M] | None = None
        self.successor: ReleasedModel[M] | None = None
        self._rule = rule
        self._training, self._succession = _Comparison(rule), _Comparison(rule)

    @property
    def models(self) -> list[M]:
        """The models whose losses `add` expects, in this order, before those of the model in training."""
        return [each.model for each in (self.release, self.successor) if each is not None]

    def note_release(self, model: Callable[[], M], version: int, policy: GatePolicy) -> None:
        """Record a release: it becomes the successor, as a copy by `model`, unless another one is still being evaluated."""
        if self.successor is not None:
            if self._succession.is_good(policy):
                self.release, self.successor = self.successor, None
                self._training = _Comparison(self._rule)
            elif self._succession.is_worse(policy):
                self.successor = None
        if self.successor is None:
            self.successor = ReleasedModel(model(), version)
            self._succession = _Comparison(self._rule)
        self.release = self.release or self.successor

    def add(self, losses: list[list[Losses]]) -> None:
        """Add the losses, by window, of each of `models` and, last, of the model in training."""
        self._training.add(losses[0], losses[-1])
        if self.successor is not None:
            self._succession.add(losses[0], losses[1])

    def is_worse(self, policy: GatePolicy) -> bool:
        """Whether the model in training is worse than `release`."""
        return self._training.is_worse(policy)

    def reset(self) -> None:
        """Drop the successor and all comparisons, after a rollback."""
        self.successor = None
        self._training, self._succession = _Comparison(self._rule), _Comparison(self._rule)
