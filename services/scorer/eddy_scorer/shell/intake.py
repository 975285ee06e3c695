"""Messages of the state topics into the recommender's state."""

from collections.abc import Callable

from eddy.contract.codec import Codec, Record
from eddy.contract.items import check_item
from eddy.contract.message import Message
from eddy.contract.topics import ITEM_EMBEDDINGS, ITEM_FEATURES, ITEMS, MODEL_RELEASES, USER_FEATURES
from eddy.errors import PoisonError
from eddy.metrics import REFUSED_RELEASES
from eddy_scorer.core.model.releases import ReleaseStaging
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.state.users import User

OnUser = Callable[[str, User, User], None]


class Intake:
    """Applies messages by topic. `on_user(user_id, former, user)` hears of every user that changed.

    An empty value is a deleted key on a compacted topic. `apply` raises PoisonError for a message that cannot be used; the state stays
    as it was.
    """

    def __init__(self, recommender: Recommender, staging: ReleaseStaging, on_user: OnUser) -> None:
        self._recommender = recommender
        self._staging = staging
        self._on_user = on_user
        knowledge = recommender.knowledge
        self._codecs = {name: Codec.for_topic(name) for name in (USER_FEATURES, ITEM_FEATURES, ITEMS, ITEM_EMBEDDINGS)}
        self._releases = Codec.for_topic(MODEL_RELEASES)
        self._deleted: dict[str, Callable[[str], None]] = {
            USER_FEATURES: knowledge.users.forget,
            ITEM_FEATURES: knowledge.forget_item_features,
            ITEMS: knowledge.withdraw_item,
            ITEM_EMBEDDINGS: staging.stage_expiry,
        }

    def apply(self, message: Message) -> None:
        """Take a message in."""
        if message.topic == MODEL_RELEASES:
            self._release(message)
        elif not message.value and message.key:
            self._deleted[message.topic](message.key.decode(errors="replace"))
        else:
            self._record(message, self._codecs[message.topic].decode(message.value))

    def _record(self, message: Message, record: Record) -> None:
        if message.topic == ITEMS:
            check_item(record, message.key)
            self._recommender.apply_item(record)
            return
        key = "user_id" if message.topic == USER_FEATURES else "item_id"
        if message.key != record[key].encode():
            raise PoisonError("wrong_key", f"{key} {record[key][:100]} under another key")
        if not record[key]:
            raise PoisonError("missing_user" if message.topic == USER_FEATURES else "missing_item")
        if message.topic == USER_FEATURES:
            self._user(record, message.partition)
        elif message.topic == ITEM_FEATURES:
            self._recommender.apply_item_features(record)
        else:
            self._staging.stage(record)

    def _user(self, record: Record, partition: int) -> None:
        former = self._recommender.knowledge.users.get(record["user_id"])
        user = self._recommender.apply_user_features(record, partition)
        if user is not former:
            self._on_user(record["user_id"], former, user)

    def _release(self, message: Message) -> None:
        if not message.value:
            return
        try:
            self._staging.offer(self._releases.decode(message.value), message, self._recommender.model_version)
        except PoisonError as error:
            REFUSED_RELEASES.labels(error.reason).inc()
            raise
