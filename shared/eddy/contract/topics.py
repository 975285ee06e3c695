"""Topics as schemas/topics.yaml states them, and their creation."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from eddy.paths import SCHEMAS

USER_EVENTS = "user-events"
ITEMS = "items"
USER_FEATURES = "user-features"
ITEM_SIGNALS = "item-signals"
ITEM_FEATURES = "item-features"
RECOMMENDATION_REQUESTS = "recommendation-requests"
RECOMMENDATIONS = "recommendations"
TRAINING_EXAMPLES = "training-examples"
ITEM_EMBEDDINGS = "item-embeddings"
MODEL_RELEASES = "model-releases"
DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True)
class Topic:
    """One topic: `record` is the schema's name, `key` the field of the record that is the message key."""

    name: str
    record: str
    key: str
    cleanup: str
    partitions: int
    retention_hours: int | None
    max_message_bytes: int
    producers: tuple[str, ...]
    consumers: tuple[str, ...]

    def config(self) -> dict[str, str]:
        """Topic configuration for the broker. All use LogAppendTime: the broker's clock says when a record arrived."""
        config = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
        }
        if self.retention_hours is not None:
            config["retention.ms"] = str(self.retention_hours * 3_600_000)
        return config


@cache
def topics() -> dict[str, Topic]:
    """All topics by name."""
    document: dict[str, Any] = yaml.safe_load((SCHEMAS / "topics.yaml").read_text())
    return {
        name: Topic(
            name=name,
            record=entry["record"],
            key=entry["key"],
            cleanup=entry["cleanup"],
            partitions=document["partitions"],
            retention_hours=entry.get("retention_hours"),
            max_message_bytes=entry.get("max_message_bytes", 4 * 1024 * 1024),
            producers=tuple(entry["producers"]),
            consumers=tuple(entry["consumers"]),
        )
        for name, entry in document["topics"].items()
    }
