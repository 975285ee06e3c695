"""Categories and attributes of items as indices into a small vocabulary, so that a new item starts near similar ones."""

from collections.abc import Iterator, Mapping, Sequence
from math import log2

VOCABULARY = 256
CONTENT_SLOTS = 16
MAX_VALUE_CHARS = 40


class Vocabulary:
    """Assigns indices 1..VOCABULARY - 1 to content features in order of appearance. Index 0 is none, also for features beyond that."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._index = {name: number for number, name in enumerate(names, 1)}

    @property
    def names(self) -> list[str]:
        return list(self._index)

    def slots(self, categories: Sequence[str], attributes: Mapping[str, str]) -> list[int]:
        """Return CONTENT_SLOTS indices, padded with 0."""
        indices = [index for name in _names(categories, attributes) if (index := self._admit(name))]
        return (indices + [0] * CONTENT_SLOTS)[:CONTENT_SLOTS]

    def _admit(self, name: str) -> int:
        if name not in self._index and len(self._index) < VOCABULARY - 1:
            self._index[name] = len(self._index) + 1
        return self._index.get(name, 0)


def _names(categories: Sequence[str], attributes: Mapping[str, str]) -> Iterator[str]:
    for category in categories:
        yield f"category={category[:MAX_VALUE_CHARS]}"
    for key, value in sorted(attributes.items()):
        if len(value) <= MAX_VALUE_CHARS:
            yield f"{key}={_coarsen(value)}"


def _coarsen(value: str) -> str:
    """Round numbers to their magnitude and years to their decade, so that close values share an index."""
    if not value.isdecimal():
        return value
    number = int(value)
    return f"{number // 10}x" if 1000 <= number < 3000 else f"2^{round(log2(number + 1))}"
