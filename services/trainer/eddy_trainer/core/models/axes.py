"""The meaning of tensor axes, by which checkpoints are migrated to other columns (eddy_trainer.core.migration).

Every module declares its tensors that depend on columns in `axes`: one entry per axis, None for an axis that does not.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

FEATURE: Final = "feature"  # one index per feature
HEAD: Final = "head"  # one index per action
ACTION: Final = "action"  # one index per action, after index 0 for padding and actions without a head

Axis: TypeAlias = Literal["feature", "head", "action"]
Axes: TypeAlias = Mapping[str, tuple[Axis | None, ...]]
