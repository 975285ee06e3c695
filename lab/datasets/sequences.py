"""Files of sequences, as S3-Rec and BERT4Rec publish theirs: a line for each user, the user and then the items in order, as numbers."""

from pathlib import Path

import numpy as np

from lab.datasets.dataset import Dataset, build
from shared.errors import ConfigError

SEQUENCES = ".txt"
NOTHING_KNOWN = 3.0  # a rating in the middle: of what users thought the file says nothing
SECONDS_APART = 60.0


def read_sequences(path: Path) -> Dataset:
    """Read such a file; times only say the order. Raises ConfigError, one line, for a line that is none."""
    users: list[str] = []
    items: list[str] = []
    places: list[int] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            user, *seen = line.split() or [""]
            if not seen or not all(item.isdigit() for item in (user, *seen)):
                raise ConfigError(f"{path}:{number} is no user with items, all numbers")
            users += [user] * len(seen)
            items += seen
            places += range(len(seen))
    if not users:
        raise ConfigError(f"{path} holds no events")
    values = np.full(len(users), NOTHING_KNOWN, np.float32)
    return build(path.stem, users, items, values, np.array(places) * SECONDS_APART, (), {})
