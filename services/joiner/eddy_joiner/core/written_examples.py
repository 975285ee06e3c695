"""The examples that a partition's workers have written so far, read back after a restart."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eddy_joiner.core.join_batches import EventKey


@dataclass
class WrittenExamples:
    """Labels (1 or 0) and positive actions by (request id, item id), and the events that have their next-item example."""

    labels: dict[tuple[str, str], int] = field(default_factory=dict)
    actions: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    events: set[EventKey] = field(default_factory=set)

    def forget(self, user_id: str) -> None:
        """Forget the events of an erased user: those that follow are others."""
        self.events = {event for event in self.events if event[0] != user_id}

    def add(self, example: Mapping[str, Any]) -> None:
        """Add a `training_example` record; only its ids, kind and items are read."""
        if example["kind"] == "next_item":
            self.events.add((example["user_id"], example["event_id"]))
            return
        for item in example["items"]:
            key = (example["request_id"], item["item_id"])
            if example["kind"] == "label":
                self.labels[key] = item["label"]
            if item["label"]:
                self.actions[key].add(item["action"])
