"""What a worker has already said: its own output, read back after a restart."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Ledger:
    """Labels given (1 or 0) by (request, item), positive actions labelled or upgraded, and events that have their example."""

    labels: dict[tuple[str, str], int] = field(default_factory=dict)
    actions: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    events: set[str] = field(default_factory=set)

    def note(self, example: Mapping[str, Any]) -> None:
        """Take in a training example that was written; only its ids, kind, items and actions are looked at."""
        if example["kind"] == "next_item":
            self.events.add(example["event_id"])
            return
        for item in example["items"]:
            key = (example["request_id"], item["item_id"])
            if example["kind"] == "label":
                self.labels[key] = item["label"]
            if item["label"]:
                self.actions[key].add(item["action"])
