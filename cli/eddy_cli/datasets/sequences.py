"""Files of sequences, as S3-Rec and BERT4Rec publish theirs: a line for each user, the user and then the items in order, as numbers.

Beside `Beauty.txt` there may be `Beauty_item2attributes.json`: the categories of each item, or its city, as numbers too.
"""

import json
from pathlib import Path

import numpy as np

from eddy.errors import ConfigError
from eddy_cli.datasets.dataset import CatalogueItem, Dataset, build

SEQUENCES = ".txt"
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
                raise ConfigError(
                    f"{path}, line {number}: not a user followed by items. Use numbers separated by spaces."
                )
            users += [user] * len(seen)
            items += seen
            places += range(len(seen))
    if not users:
        raise ConfigError(f"{path} contains no events")
    values = np.full(len(users), np.nan, np.float32)
    attributes = _attributes(path.with_name(f"{path.stem}_item2attributes.json"))
    catalogue = [CatalogueItem(item, genres=attributes.get(item, ())) for item in dict.fromkeys(items)]
    return build(path.stem, users, items, values, np.array(places) * SECONDS_APART, catalogue, {})


def _attributes(path: Path) -> dict[str, tuple[str, ...]]:
    """A word for each attribute of each item; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
        return {item: tuple(f"attribute{number}" for number in dict.fromkeys(own)) for item, own in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"{path} does not map items to lists of attributes: {error}") from error
