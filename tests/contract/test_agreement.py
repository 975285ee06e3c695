"""One verdict: gateway, features and joiner on the same event, gateway and scorer on the same request."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eddy.contract.codec import Record
from eddy.contract.events import EventContract, UsableEvent
from eddy.contract.requests import RequestContract
from tests.contract.generated import SCENARIOS, events, keys, requests
from tests.contract.judges import USABLE, FeaturesJudge, GatewayJudge, JoinerJudge, ScorerJudge

generated = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def gateway() -> Iterator[GatewayJudge]:
    judge = GatewayJudge()
    yield judge
    judge.close()


def event_verdicts(gateway: GatewayJudge, features: FeaturesJudge, joiner: JoinerJudge) -> Callable[[], set[str]]:
    """The property, to be run: it raises AssertionError at the first disagreement, and gives the verdicts that it met."""
    met: set[str] = set()

    @generated
    @given(st.data(), events(), st.booleans())
    def agree(data: st.DataObject, event: Record, left_out: bool) -> None:
        key = data.draw(keys(event))
        verdict = features.of_event(event, key)
        assert joiner.of_event(event, key) == verdict
        if key == event["user_id"].encode():  # the gateway chooses the key itself
            assert gateway.of_event(event, left_out) == verdict
        met.add(verdict[0])

    def run() -> set[str]:
        agree()
        return met

    return run


def request_verdicts(gateway: GatewayJudge, scorer: ScorerJudge) -> Callable[[], set[str]]:
    """The same for requests."""
    met: set[str] = set()

    @generated
    @given(st.data(), requests())
    def agree(data: st.DataObject, request: Record) -> None:
        key = data.draw(keys(request))
        verdict = scorer.of_request(request, key)
        if key == request["user_id"].encode():
            assert gateway.of_request(request) == verdict
        met.add(verdict[0])

    def run() -> set[str]:
        agree()
        return met

    return run


def test_gateway_features_and_joiner_judge_the_same_event_alike(gateway: GatewayJudge) -> None:
    met = event_verdicts(gateway, FeaturesJudge(), JoinerJudge())()
    assert met == {
        USABLE[0],
        "missing_user",
        "wrong_key",
        "too_long",
        "unknown_scenario",
        "unknown_action",
        "missing_item",
        "empty_name",
        "non_finite",
        "timestamp_ahead",
        "out_of_range",
    }


def test_gateway_and_scorer_judge_the_same_request_alike(gateway: GatewayJudge) -> None:
    met = request_verdicts(gateway, ScorerJudge())()
    assert met == {
        USABLE[0],
        "missing_user",
        "wrong_key",
        "too_long",
        "unknown_scenario",
        "bad_limit",
        "empty_name",
        "out_of_range",
    }


class ForgetsQueries(EventContract):
    """As the joiner did once: it read no query, and took an event whose query is too long."""

    def check(self, record: Mapping[str, Any], key: bytes | None, appended_ms: int) -> UsableEvent:
        return super().check({**record, "query": None}, key, appended_ms)


class AllowsLongQueries(RequestContract):
    """As the gateway did once: 1024 characters, where the scorer answered 256."""

    def check(self, record: Mapping[str, Any], key: bytes | None, appended_ms: int) -> None:
        query = record["query"]
        super().check(
            {**record, "query": query if query is None or len(query) > 1024 else query[:256]}, key, appended_ms
        )


def test_the_property_catches_a_joiner_with_a_rule_of_its_own(gateway: GatewayJudge) -> None:
    joiner = JoinerJudge()
    joiner.policy.events = ForgetsQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        event_verdicts(gateway, FeaturesJudge(), joiner)()


def test_the_property_catches_features_with_a_rule_of_their_own(gateway: GatewayJudge) -> None:
    features = FeaturesJudge()
    features.cleaner._contract = ForgetsQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        event_verdicts(gateway, features, JoinerJudge())()


def test_the_property_catches_a_gateway_with_a_rule_of_its_own(gateway: GatewayJudge) -> None:
    gateway.rules._events = ForgetsQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        event_verdicts(gateway, FeaturesJudge(), JoinerJudge())()
    gateway.rules._requests = AllowsLongQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        request_verdicts(gateway, ScorerJudge())()


def test_the_property_catches_a_scorer_with_a_rule_of_its_own(gateway: GatewayJudge) -> None:
    scorer = ScorerJudge()
    scorer.tickets._contract = AllowsLongQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        request_verdicts(gateway, scorer)()
