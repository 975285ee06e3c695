"""The core of the features service in process: applies events to the user and item features of a recommender."""

from collections.abc import Callable, Sequence

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.scenarios import Scenarios
from eddy.contract.topics import ITEM_FEATURES, ITEM_SIGNALS, USER_FEATURES
from eddy_features.core.cleaning import Cleaner
from eddy_features.core.item_state import ItemPolicy, ItemRules
from eddy_features.core.item_updater import ItemUpdater
from eddy_features.core.slates import ServedSlates
from eddy_features.core.states import DictRecords
from eddy_features.core.user_state import UserPolicy
from eddy_features.core.user_updater import UserUpdater
from eddy_scorer.core.ranking.recommender import Recommender

Signals = Sequence[tuple[bytes, bytes]]
PARTITION = 0
_DECODED_RECORDS = 10_000


class EventFeatures:
    """`carry(topic, key, value)` returns the message that Kafka would carry for a record, with offsets per topic."""

    def __init__(
        self,
        scenarios: Scenarios,
        recommender: Recommender,
        carry: Callable[[str, bytes, bytes], Message],
        items: ItemPolicy = ItemPolicy(),  # noqa: B008  # frozen
    ) -> None:
        self._recommender = recommender
        self._carry = carry
        self._slates = ServedSlates()
        self._users = UserUpdater(Cleaner(scenarios), UserPolicy(), DictRecords(), _DECODED_RECORDS, self._slates)
        self._items = ItemUpdater(ItemRules(scenarios, items), DictRecords(), _DECODED_RECORDS)
        self._user_codec, self._item_codec = Codec.for_topic(USER_FEATURES), Codec.for_topic(ITEM_FEATURES)
        self.refused = 0

    def serve(self, message: Message) -> None:
        """Note the slate in a message of `recommendations`, for impressions of it."""
        self._slates.add(message)

    def apply(self, messages: list[Message]) -> Signals:
        """Apply `user_event` messages to the histories of their users; returns the item signals, for `count`."""
        batch = self._users.apply(PARTITION, messages)
        self.refused += len(batch.poison)
        for key, value in batch.users:
            assert value is not None  # no user is erased here
            self._users.states.store(PARTITION, key, value)
            carried = self._carry(USER_FEATURES, key, value)
            self._recommender.apply_user_features(self._user_codec.decode(carried.value), PARTITION)
        self._users.states.evict()
        return batch.signals

    def count(self, signals: Signals) -> None:
        """Apply item signals to the counts of items."""
        batch = self._items.apply(PARTITION, [self._carry(ITEM_SIGNALS, key, value) for key, value in signals])
        self.refused += len(batch.poison)
        for key, value in self._items.records(PARTITION, batch.changes):
            assert value is not None
            self._items.states.store(PARTITION, key, value)
            carried = self._carry(ITEM_FEATURES, key, value)
            self._recommender.apply_item_features(self._item_codec.decode(carried.value))
        self._items.states.evict()
