"""Categories and attributes of items as indices into a small vocabulary, so that a new item starts near similar ones."""

from collections.abc import Iterator, Mapping, Sequence
from math import log2

from eddy.words import normalise

VOCABULARY = 256
CONTENT_SLOTS = 16
MAX_VALUE_CHARS = 40


class Vocabulary:
    """Assigns indices 1..VOCABULARY - 1 to content features in order of appearance. Index 0 is none, also for features beyond that."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self._index: dict[str, int] = {}
        for number, name in enumerate(names, 1):
            self._index.setdefault(normalise(name), number)

    def slots(self, categories: Sequence[str], attributes: Mapping[str, str]) -> list[int]:
        """Return CONTENT_SLOTS indices, padded with 0."""
        indices = list(dict.fromkeys(index for name in _names(categories, attributes) if (index := self._admit(name))))
        return (indices + [0] * CONTENT_SLOTS)[:CONTENT_SLOTS]

    def _admit(self, name: str) -> int:
        if name not in self._index and len(self.names) < VOCABULARY - 1:
            self.names.append(name)
            self._index[name] = len(self.names)
        return self._index.get(name, 0)


def _names(categories: Sequence[str], attributes: Mapping[str, str]) -> Iterator[str]:
    for category in categories:
        yield normalise(f"category={category[:MAX_VALUE_CHARS]}")
    for key, value in sorted(attributes.items()):
        if len(value) <= MAX_VALUE_CHARS:
            yield normalise(f"{key}={_coarsen(value)}")


def _coarsen(value: str) -> str:
    """Round numbers to their magnitude and years to their decade, so that close values share an index."""
    if not value.isdecimal():
        return value
    number = int(value)
    return f"{number // 10}x" if 1000 <= number < 3000 else f"2^{round(log2(number + 1))}"
