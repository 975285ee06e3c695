"""What the axes of a model's tensors stand for, so that a checkpoint can be moved to other columns (eddy_trainer.core.migration).

Every module says it of its own tensors in `axes`: by the tensor's name, one entry an axis, None for one that does not depend on columns.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

FEATURE: Final = "feature"  # one index a feature
HEAD: Final = "head"  # one index an action
ACTION: Final = "action"  # one index an action, after index 0: padding, and actions without a head

Axis: TypeAlias = Literal["feature", "head", "action"]
Axes: TypeAlias = Mapping[str, tuple[Axis | None, ...]]
