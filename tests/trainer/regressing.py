"""A learner that regresses."""

import math
from collections.abc import Mapping
from copy import deepcopy

import torch

from eddy_trainer.core.effort import Effort
from eddy_trainer.core.learner import Learner, Rollback, StepReport
from tests.trainer.factories import reverse_ranker


class RegressingLearner(Learner):
    """From so many examples on each step ends with a ranker that thinks the opposite of what it had learned, until it is rolled back."""

    breaks_after = math.inf
    wrong: Mapping[str, torch.Tensor] | None = None

    def step(self, effort: Effort = Effort.FULL) -> StepReport:
        report = super().step(effort)
        if self.wrong is None and self.examples >= self.breaks_after:
            reverse_ranker(self)
            self.wrong = deepcopy(self.ranker.ranker.state_dict())
        if self.wrong is not None:
            self.ranker.ranker.load_state_dict(self.wrong)
        return report

    def roll_back(self) -> Rollback:
        self.wrong, self.breaks_after = None, math.inf
        return super().roll_back()
