"""Applies messages of the state topics to the recommender's state."""

from collections.abc import Callable

from eddy.contract.checks import PartitionOf, check_key, check_partition
from eddy.contract.codec import Codec
from eddy.contract.items import check_item
from eddy.contract.message import Message
from eddy.contract.topics import ITEM_EMBEDDINGS, ITEM_FEATURES, ITEMS, MODEL_RELEASES, USER_FEATURES
from eddy.errors import PoisonError
from eddy_scorer.core.model.releases import ReleaseStaging
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.state.users import User

OnUser = Callable[[str, User, User], None]


class StateUpdater:
    """Applies messages by topic. `on_user(user_id, former, user)` is called for every user that changed, `on_erased(user_id)` for
    every user that was erased.

    An empty value deletes the key. `apply` raises PoisonError for an unusable message and leaves the state unchanged. With `partition_of`,
    items in another partition than that of their key are unusable: which of two versions is newer would depend on the order of reading.
    """

    def __init__(
        self,
        recommender: Recommender,
        staging: ReleaseStaging,
        on_user: OnUser,
        partition_of: PartitionOf | None = None,
        on_erased: Callable[[str], None] = lambda user_id: None,
    ) -> None:
        self._partition_of = partition_of
        self._recommender = recommender
        self._staging = staging
        self._on_user = on_user
        self._on_erased = on_erased
        state = recommender.state
        self._users, self._item_feature_codec = Codec.for_topic(USER_FEATURES), Codec.for_topic(ITEM_FEATURES)
        self._items, self._embeddings = Codec.for_topic(ITEMS), Codec.for_topic(ITEM_EMBEDDINGS)
        self._releases = Codec.for_topic(MODEL_RELEASES)
        self._on_record: dict[str, Callable[[Message], None]] = {
            USER_FEATURES: self._user,
            ITEM_FEATURES: self._item_features,
            ITEMS: self._item,
            ITEM_EMBEDDINGS: self._embedding,
        }
        self._on_delete: dict[str, Callable[[str], None]] = {
            USER_FEATURES: self._forget_user,
            ITEM_FEATURES: state.items.forget_features,
            ITEM_EMBEDDINGS: staging.stage_expiry,
        }

    def apply(self, message: Message) -> None:
        """Apply a message."""
        if message.topic == ITEMS:
            check_partition(message, self._partition_of)
        if message.topic == MODEL_RELEASES:
            self._release(message)
        elif not message.value and message.key and message.topic == ITEMS:
            items = self._recommender.state.items
            items.withdraw(message.key.decode(errors="replace"), message.scenarios)
        elif not message.value and message.key:
            self._on_delete[message.topic](message.key.decode(errors="replace"))
        else:
            self._on_record[message.topic](message)

    def _item(self, message: Message) -> None:
        record = self._items.decode(message.value)
        check_item(record, message.key)
        self._recommender.apply_item(record, message.timestamp_ms)

    def _item_features(self, message: Message) -> None:
        record = self._item_feature_codec.decode(message.value)
        _check_key(message.key, "item_id", record["item_id"], "missing_item")
        self._recommender.apply_item_features(record)

    def _embedding(self, message: Message) -> None:
        record = self._embeddings.decode(message.value)
        _check_key(message.key, "item_id", record["item_id"], "missing_item")
        self._staging.stage_embedding(record)

    def _user(self, message: Message) -> None:
        record = self._users.decode(message.value)
        _check_key(message.key, "user_id", record["user_id"], "missing_user")
        former = self._recommender.state.users.get(record["user_id"])
        user = self._recommender.apply_user_features(record, message.partition)
        if user is not former:
            self._on_user(record["user_id"], former, user)

    def _forget_user(self, user_id: str) -> None:
        self._recommender.state.users.forget(user_id)
        self._on_erased(user_id)

    def _release(self, message: Message) -> None:
        if not message.value:
            return
        self._staging.stage_release(self._releases.decode(message.value), message, self._recommender.model_version)


def _check_key(key: bytes | None, field: str, value: str, missing_reason: str) -> None:
    """Raise PoisonError unless `key` equals the record's `field`, which must not be empty."""
    check_key(field, value, key)
    if not value:
        raise PoisonError(missing_reason, f"{field} is empty")
