"""What an item says about itself, as indices into a small vocabulary, so that a new item does not start at random."""

from collections.abc import Iterator, Mapping, Sequence
from math import log2

VOCABULARY = 256
CONTENT_SLOTS = 16
MAX_VALUE_CHARS = 40


class Vocabulary:
    """Gives content features indices 1..VOCABULARY - 1 in order of appearance; later ones get none. Index 0 is no feature."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self._index = {name: number for number, name in enumerate(known, 1)}

    @property
    def names(self) -> list[str]:
        return list(self._index)

    def slots(self, categories: Sequence[str], attributes: Mapping[str, str]) -> list[int]:
        """CONTENT_SLOTS indices, filled up with 0."""
        found = [index for name in _names(categories, attributes) if (index := self._admit(name))]
        return (found + [0] * CONTENT_SLOTS)[:CONTENT_SLOTS]

    def _admit(self, name: str) -> int:
        if name not in self._index and len(self._index) < VOCABULARY - 1:
            self._index[name] = len(self._index) + 1
        return self._index.get(name, 0)


def _names(categories: Sequence[str], attributes: Mapping[str, str]) -> Iterator[str]:
    for category in categories:
        yield f"category={category[:MAX_VALUE_CHARS]}"
    for key, value in sorted(attributes.items()):
        if len(value) <= MAX_VALUE_CHARS:
            yield f"{key}={_coarse(value)}"


def _coarse(value: str) -> str:
    """Numbers by magnitude and years by decade: near ones should share what they teach."""
    if not value.isdecimal():
        return value
    number = int(value)
    return f"{number // 10}x" if 1000 <= number < 3000 else f"2^{round(log2(number + 1))}"
