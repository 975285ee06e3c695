"""The result of a benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODEL = "model"
BY_TENTH = "_by_tenth"
Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """`methods[name][metric]` is a number, or a list of ten for a metric whose name ends in `_by_tenth`.

    `published[source][metric]` are figures from papers or earlier measurements; `details` are further figures.
    """

    dataset: str
    events: int
    methods: Mapping[str, Figures]
    published: Mapping[str, Figures] = field(default_factory=dict)
    details: Figures = field(default_factory=dict)

    @property
    def metrics(self) -> list[str]:
        """The metrics that are single numbers, in order of appearance."""
        names = (name for figures in (*self.methods.values(), *self.published.values()) for name in figures)
        return [name for name in dict.fromkeys(names) if not name.endswith(BY_TENTH)]
