"""The features service without Kafka, crashes or restarts: the expected result of a run on Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.scenarios import Scenarios, load_scenarios
from eddy.paths import REPO_ROOT
from eddy_features.core.cleaning import Cleaner
from eddy_features.core.item_state import ItemPolicy, ItemRules
from eddy_features.core.item_updater import ItemUpdater
from eddy_features.core.slates import ServedSlates
from eddy_features.core.states import DictRecords
from eddy_features.core.user_state import UserPolicy
from eddy_features.core.user_updater import UserUpdater
from tests.features.factories import Record

SCENARIOS: Scenarios = load_scenarios(REPO_ROOT / "scenarios.yaml")


def user_updater(records: DictRecords, capacity: int = 1000, slates: ServedSlates | None = None) -> UserUpdater:
    return UserUpdater(Cleaner(SCENARIOS), UserPolicy(), records, capacity, slates)


def item_updater(records: DictRecords, capacity: int = 1000, policy: ItemPolicy = ItemPolicy()) -> ItemUpdater:  # noqa: B008  # frozen
    return ItemUpdater(ItemRules(SCENARIOS, policy), records, capacity)


@dataclass
class ReferenceFeatures:
    """Both updaters, batch after batch. All item states are in one partition, unlike on a broker."""

    user_records: DictRecords = field(default_factory=DictRecords)
    item_records: DictRecords = field(default_factory=DictRecords)
    dead_letters: set[tuple[int, int, str]] = field(default_factory=set)
    capacity: int = 1000
    item_policy: ItemPolicy = field(default_factory=ItemPolicy)

    slates: ServedSlates = field(default_factory=ServedSlates)

    def __post_init__(self) -> None:
        self.users = user_updater(self.user_records, self.capacity, self.slates)
        self.items = item_updater(self.item_records, self.capacity, self.item_policy)
        self._signals = 0

    def serve(self, slates: Sequence[Record]) -> None:
        for offset, (key, value) in enumerate(slates):
            self.slates.add(Message("recommendations", 0, offset, key, value, 0))

    def process(self, partition: int, messages: list[Message]) -> None:
        batch = self.users.apply(partition, messages)
        self.dead_letters |= {(message.partition, message.offset, error.reason) for message, error in batch.poison}
        self.process_signals(batch.signals)
        for key, value in batch.users:
            self.users.states.store(partition, key, value)
        self.users.states.evict()

    def process_signals(self, signals: list[tuple[bytes, bytes]]) -> None:
        numbered = [
            Message("item-signals", 0, self._signals + number, key, value, 0)
            for number, (key, value) in enumerate(signals)
        ]
        self._signals += len(numbered)
        for key, value in self.items.records(0, self.items.apply(0, numbered).changes):
            self.items.states.store(0, key, value)
        self.items.states.evict()

    def user_features(self) -> dict[str, dict[str, Any]]:
        return _decoded("user_features", self.user_records)

    def item_features(self) -> dict[str, dict[str, Any]]:
        return _decoded("item_features", self.item_records)


def reference_features(
    logs: dict[int, list[Message]], item_policy: ItemPolicy | None = None, slates: Sequence[Record] = ()
) -> ReferenceFeatures:
    """Return the states after processing each partition's log as one batch; the slates were served before."""
    result = ReferenceFeatures(item_policy=item_policy or ItemPolicy())
    result.serve(slates)
    for partition, log in sorted(logs.items()):
        result.process(partition, log)
    return result


def _decoded(record: str, records: DictRecords) -> dict[str, dict[str, Any]]:
    codec = Codec.of(record)
    return {key.decode(): codec.decode(value) for (_, key), value in records.records.items()}
