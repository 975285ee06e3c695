"""A learner that regresses."""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch

from eddy.contract.scenarios import Scenarios
from eddy.text import TextModel
from eddy_trainer.core.budgets import UNBOUNDED
from eddy_trainer.core.effort import Effort
from eddy_trainer.core.learner import Learner, LearnerPolicy, Rollback, StepReport
from tests.trainer.factories import invert_ranker


class RegressingLearner(Learner):
    """From `regresses_after` examples on, every step ends with an inverted ranker, until it is rolled back. It is taught everything."""

    regresses_after = math.inf
    inverted: Mapping[str, torch.Tensor] | None = None

    def __init__(self, scenarios: Scenarios, policy: LearnerPolicy, text_model: TextModel | None = None) -> None:
        super().__init__(scenarios, replace(policy, encoder=replace(policy.encoder, budgets=UNBOUNDED)), text_model)

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
