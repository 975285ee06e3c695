"""A record outside the partition of its key is refused by every reader: its other records are elsewhere."""

import pytest

from eddy.clock import ManualClock
from eddy.contract.checks import check_partition
from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.reasons import REASONS
from eddy.contract.topics import ITEMS
from eddy.errors import PoisonError
from eddy.kafka.partitions import partition_of
from eddy_features.core.cleaning import Cleaner
from eddy_joiner.core.policy import AttributionPolicy
from eddy_scorer.core.model.releases import ReleaseStaging
from eddy_scorer.shell.requests_reader import RequestDecoder
from eddy_scorer.shell.state_updater import StateUpdater
from tests.contract.generated import EVENT, NOW_MS, REQUEST, SCENARIOS
from tests.contract.judges import USABLE, FeaturesJudge, JoinerJudge, ScorerJudge
from tests.release_keys import KEYS
from tests.scorer.factories import item, recommender

WRONG = ("wrong_partition", None)


def elsewhere(_: bytes) -> int:
    return 1


def here(_: bytes) -> int:
    return 0


@pytest.mark.parametrize(("partition_of_key", "verdict"), [(elsewhere, WRONG), (here, USABLE), (None, USABLE)])
def test_features_joiner_and_scorer_agree(partition_of_key, verdict) -> None:  # type: ignore[no-untyped-def] # parametrized
    features = FeaturesJudge(Cleaner(SCENARIOS, partition_of_key))
    joiner = JoinerJudge(AttributionPolicy(SCENARIOS, 0.0, partition_of_key))
    scorer = ScorerJudge(RequestDecoder(SCENARIOS, ManualClock(NOW_MS), 1000, partition_of_key))
    assert features.of_event(EVENT, b"u1") == joiner.of_event(EVENT, b"u1") == verdict
    assert scorer.of_request(REQUEST, b"u1") == verdict


def test_an_item_elsewhere_is_refused() -> None:
    updater = StateUpdater(recommender(), ReleaseStaging(KEYS), lambda *_: None, elsewhere)
    for value in (Codec.for_topic(ITEMS).encode(item("m1")), b""):  # a deletion too
        with pytest.raises(PoisonError, match="wrong_partition"):
            updater.apply(Message(ITEMS, 0, 0, b"m1", value, NOW_MS))


def test_the_message_says_where_it_belongs_and_what_to_set() -> None:
    key, expected = b"u1", partition_of(b"u1", 4)
    message = Message("user-events", (expected + 1) % 4, 0, key, b"", NOW_MS)
    with pytest.raises(PoisonError) as refused:
        check_partition(message, lambda key: partition_of(key, 4))
    assert refused.value.reason in REASONS
    assert f"key belongs in partition {expected}" in refused.value.detail
    assert "partitioner=murmur2_random" in refused.value.detail
    check_partition(Message("user-events", expected, 0, key, b"", NOW_MS), lambda key: partition_of(key, 4))
