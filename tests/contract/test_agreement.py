"""Gateway, features and joiner agree on the same event, gateway and scorer on the same request."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from eddy.contract.codec import Record
from eddy.contract.events import EventContract, UsableEvent
from eddy.contract.requests import RequestContract
from tests.contract.generated import (
    EVENT,
    EVENT_FIELDS,
    REQUEST,
    REQUEST_FIELDS,
    SCENARIOS,
    broken_in_one,
    events,
    keys,
    requests,
)
from tests.contract.judges import USABLE, FeaturesJudge, GatewayJudge, JoinerJudge, ScorerJudge

# Nothing is shrunk: what is broken is broken in a few fields.
generated = settings(
    max_examples=200,
    phases=[Phase.generate],
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


def event_verdicts(gateway: GatewayJudge, features: FeaturesJudge, joiner: JoinerJudge) -> set[str]:
    """The property: raises AssertionError at the first disagreement, and gives the reasons that were met."""
    met: set[str] = set()

    def agree(event: Record, key: bytes | None, left_out: bool) -> None:
        verdict = features.of_event(event, key)
        assert joiner.of_event(event, key) == verdict
        if key == event["user_id"].encode():  # the gateway chooses the key itself
            assert gateway.of_event(event, left_out) == verdict
        met.add(verdict[0])

    @generated
    @given(st.data(), events(), st.booleans())
    def combined(data: st.DataObject, event: Record, left_out: bool) -> None:
        agree(event, data.draw(keys(event)), left_out)

    for number, event in enumerate(broken_in_one(EVENT, EVENT_FIELDS)):
        agree(event, event["user_id"].encode(), left_out=number % 2 == 0)
    combined()
    return met


def request_verdicts(gateway: GatewayJudge, scorer: ScorerJudge) -> set[str]:
    """The same for requests."""
    met: set[str] = set()

    def agree(request: Record, key: bytes | None) -> None:
        verdict = scorer.of_request(request, key)
        if key == request["user_id"].encode():
            assert gateway.of_request(request) == verdict
        met.add(verdict[0])

    @generated
    @given(st.data(), requests())
    def combined(data: st.DataObject, request: Record) -> None:
        agree(request, data.draw(keys(request)))

    for request in broken_in_one(REQUEST, REQUEST_FIELDS):
        agree(request, request["user_id"].encode())
    combined()
    return met


@pytest.mark.slow
def test_gateway_features_and_joiner_validate_events_alike(gateway: GatewayJudge) -> None:
    met = event_verdicts(gateway, FeaturesJudge(), JoinerJudge())
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


@pytest.mark.slow
def test_gateway_and_scorer_validate_requests_alike(gateway: GatewayJudge) -> None:
    met = request_verdicts(gateway, ScorerJudge())
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


def test_property_catches_a_joiner_with_another_rule(gateway: GatewayJudge) -> None:
    joiner = JoinerJudge()
    joiner.policy.events = ForgetsQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        event_verdicts(gateway, FeaturesJudge(), joiner)


def test_property_catches_features_with_another_rule(gateway: GatewayJudge) -> None:
    features = FeaturesJudge()
    features.cleaner._contract = ForgetsQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        event_verdicts(gateway, features, JoinerJudge())


def test_property_catches_a_gateway_with_another_rule(gateway: GatewayJudge) -> None:
    gateway.rules._events = ForgetsQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        event_verdicts(gateway, FeaturesJudge(), JoinerJudge())
    gateway.rules._requests = AllowsLongQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        request_verdicts(gateway, ScorerJudge())


def test_property_catches_a_scorer_with_another_rule(gateway: GatewayJudge) -> None:
    scorer = ScorerJudge()
    scorer.requests._contract = AllowsLongQueries(SCENARIOS)
    with pytest.raises(AssertionError):
        request_verdicts(gateway, scorer)
