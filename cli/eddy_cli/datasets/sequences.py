"""Files of sequences in the format of S3-Rec and BERT4Rec: a line per user, with the user and then the items in order, as numbers.

Next to `Beauty.txt` there may be `Beauty_item2attributes.json`: attributes of each item, also as numbers.
"""

import json
from pathlib import Path

import numpy as np

from eddy.errors import ConfigError
from eddy_cli.datasets.dataset import CatalogueItem, Dataset, build

SEQUENCES = ".txt"
SECONDS_BETWEEN_EVENTS = 60.0


def read_sequences(path: Path) -> Dataset:
    """Read a file of sequences; times only encode the order. Raises ConfigError for an invalid line."""
    users: list[str] = []
    items: list[str] = []
    positions: list[int] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            user, *sequence = line.split() or [""]
            if not sequence or not all(item.isdigit() for item in (user, *sequence)):
                raise ConfigError(
                    f"{path}, line {number}: not a user followed by items. Use numbers separated by spaces."
                )
            users += [user] * len(sequence)
            items += sequence
            positions += range(len(sequence))
    if not users:
        raise ConfigError(f"{path} contains no events")
    values = np.full(len(users), np.nan, np.float32)
    attributes = _attributes(path.with_name(f"{path.stem}_item2attributes.json"))
    catalogue = [CatalogueItem(item, genres=attributes.get(item, ())) for item in dict.fromkeys(items)]
    return build(path.stem, users, items, values, np.array(positions) * SECONDS_BETWEEN_EVENTS, catalogue, {})


def _attributes(path: Path) -> dict[str, tuple[str, ...]]:
    """Names of the attributes of each item; empty for a missing file."""
    if not path.is_file():
        return {}
    try:
        attributes = json.loads(path.read_text())
        return {
            item: tuple(f"attribute{number}" for number in dict.fromkeys(numbers))
            for item, numbers in attributes.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"{path} does not map items to lists of attributes: {error}") from error
