"""A learner that regresses."""

import math
from collections.abc import Mapping
from copy import deepcopy

import torch

from eddy_trainer.core.effort import Effort
from eddy_trainer.core.learner import Learner, Rollback, StepReport
from tests.trainer.factories import invert_ranker


class RegressingLearner(Learner):
    """From `regresses_after` examples on, every step ends with an inverted ranker, until it is rolled back."""

    regresses_after = math.inf
    inverted: Mapping[str, torch.Tensor] | None = None

    def step(self, effort: Effort = Effort.FULL) -> StepReport:
        report = super().step(effort)
        if self.inverted is None and self.examples >= self.regresses_after:
            invert_ranker(self)
            self.inverted = deepcopy(self.ranker.ranker.state_dict())
        if self.inverted is not None:
            self.ranker.ranker.load_state_dict(self.inverted)
        return report

    def roll_back(self) -> Rollback:
        self.inverted, self.regresses_after = None, math.inf
        return super().roll_back()
