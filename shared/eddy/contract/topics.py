"""The topics of schemas/topics.yaml."""

from dataclasses import dataclass
from functools import cache
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import yaml

from eddy.contract.records import (
    DeadLetter,
    Erasure,
    Item,
    ItemEmbedding,
    ItemFeatures,
    ItemSignals,
    ModelRelease,
    RecommendationRequest,
    Recommendations,
    TrainingExample,
    UserEvent,
    UserFeatures,
)
from eddy.paths import SCHEMAS

R = TypeVar("R")

# What to do where a topic cannot be corrected, and where its offsets were renumbered.
NEW_TOPICS = "EDDY_TOPIC_PREFIX to use new topics (docs/operating.md)"
RENUMBERED = f"State refers to its former offsets: set {NEW_TOPICS}."


def partitions_remedy(actual: int) -> str:
    """What to do about a topic with another number of partitions than Eddy expects."""
    return f"set EDDY_TOPIC_PARTITIONS={actual} if all topics have {actual}, or {NEW_TOPICS}"


if TYPE_CHECKING:

    class TopicName(str, Generic[R]):
        """The name of a topic without prefix, with the type of its records."""

else:

    class TopicName:
        """Only the type checker knows it as a class: at run time a name is a plain str, which every serialiser accepts."""

        __class_getitem__ = classmethod(GenericAlias)

        def __new__(cls, name: str) -> str:
            return name


USER_EVENTS: TopicName[UserEvent] = TopicName("user-events")
ITEMS: TopicName[Item] = TopicName("items")
USER_FEATURES: TopicName[UserFeatures] = TopicName("user-features")
ITEM_SIGNALS: TopicName[ItemSignals] = TopicName("item-signals")
ITEM_FEATURES: TopicName[ItemFeatures] = TopicName("item-features")
RECOMMENDATION_REQUESTS: TopicName[RecommendationRequest] = TopicName("recommendation-requests")
RECOMMENDATIONS: TopicName[Recommendations] = TopicName("recommendations")
TRAINING_EXAMPLES: TopicName[TrainingExample] = TopicName("training-examples")
ITEM_EMBEDDINGS: TopicName[ItemEmbedding] = TopicName("item-embeddings")
MODEL_RELEASES: TopicName[ModelRelease] = TopicName("model-releases")
ERASURES: TopicName[Erasure] = TopicName("erasures")
DEAD_LETTERS: TopicName[DeadLetter] = TopicName("dead-letters")


@dataclass(frozen=True)
class Topic:
    """A topic. `record` is the name of the schema, `key` the field of the record that is also the message key."""

    name: str
    record: str
    key: str
    cleanup: str
    partitions: int
    retention_hours: int | None
    max_message_bytes: int
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    segment_bytes: int | None = None
    tombstone_hours: int | None = None

    def config(self) -> dict[str, str]:
        """Configuration of the topic on the broker. LogAppendTime makes timestamps comparable: all are of the broker's clock."""
        config = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
        }
        if self.retention_hours is not None:
            config |= {"retention.ms": str(self.retention_hours * 3_600_000), "retention.bytes": "-1"}
        if self.tombstone_hours is not None:
            config["delete.retention.ms"] = str(self.tombstone_hours * 3_600_000)
        return config

    def creation_config(self) -> dict[str, str]:
        """As `config`, with what topics that exist may do without, because it only saves disk."""
        config = self.config()
        if self.segment_bytes is None:
            return config
        return config | {
            "segment.bytes": str(self.segment_bytes),
            "segment.ms": str(3_600_000),
            "min.cleanable.dirty.ratio": "0.01",
            "delete.retention.ms": str(3_600_000),
        }


@cache
def topics() -> dict[str, Topic]:
    """All topics by name."""
    document: dict[str, Any] = yaml.load((SCHEMAS / "topics.yaml").read_text(), yaml.CSafeLoader)
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
            segment_bytes=entry.get("segment_bytes"),
            tombstone_hours=entry.get("tombstone_hours"),
        )
        for name, entry in document["topics"].items()
    }
