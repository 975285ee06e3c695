"""The soak: what it plays comes and goes, and its verdict names what grew."""

import random

import pytest

from eddy_lab.soak.churn import CATALOGUE_DAYS, DAY_MS, DAYS, NEW_ITEMS_PER_DAY, Churn
from eddy_lab.soak.memory import FLAT, growth, verdict

pytestmark = pytest.mark.unit

START = 1_700_000_000_000


def test_a_month_has_new_users_and_items_every_day_and_keeps_few() -> None:
    churn = Churn(START, events_per_day=300)
    published, deleted, events = set(), set(), []
    for tenth in range(10 * DAYS + 1):
        churn.advance(tenth / 10 / DAYS)
        published |= {item["item_id"] for item in churn.new_items()}
        deleted |= set(churn.deleted_items())
        events += [churn.event() for _ in range(30)]
        assert len(churn.items) <= (CATALOGUE_DAYS + 1) * NEW_ITEMS_PER_DAY
    assert churn.now == START + DAYS * DAY_MS
    assert len(published) == (DAYS + CATALOGUE_DAYS) * NEW_ITEMS_PER_DAY
    assert (DAYS - 1) * NEW_ITEMS_PER_DAY < len(deleted) <= DAYS * NEW_ITEMS_PER_DAY
    days = {}
    for event in events:
        days.setdefault(event["user_id"], set()).add((event["occurred_at"] - START) // DAY_MS)
    assert len(days) > 500
    assert sum(len(each) > 3 for each in days.values()) < len(days) / 10
    assert any(str(event["item_id"]).startswith("unpublished-") for event in events)
    assert 30 < len(churn.gone_users) < len(days) / 5


def test_a_slate_leads_to_an_impression_or_a_click() -> None:
    churn = Churn(START, events_per_day=100)
    churn.new_items()
    user = str(churn.event()["user_id"])
    slate = {**churn.request(user, 1), "items": [{"item_id": "item-7"}]}
    actions = set()
    for _ in range(400):
        churn.serve(slate)  # type: ignore[arg-type]  # the fields that are read
        event = churn.event()
        actions |= {(event["action"], event.get("item_id"))} if event.get("request_id") == "soak-1" else set()
    assert actions == {("impression", None), ("click", "item-7")}


MINUTES = [number / 6 for number in range(181)]


def noise(at: float, deviation: float) -> float:
    return random.Random(at).gauss(0, deviation)


KINDS = {
    # name: (memory by minute, verdict)
    "warms up": (lambda at: 200.0 + min(at, 9.0) * 50, "flat"),
    "varies": (lambda at: 1000.0 + noise(at, 20), "flat"),
    "needs more for a moment": (lambda at: 300.0 + 90 * (round(at * 6) % 3 == 0), "flat"),
    "was looked at by a debugger": (lambda at: 300.0 + 70 * (at > 12), "flat"),
    "falls": (lambda at: 300.0 - at, "flat"),
    "leaks": (lambda at: 300.0 + 2.0 * at, "grew by 2.00 MB/min (11.8% in 20 minutes)"),
    "leaks late": (lambda at: 300.0 + 4.0 * max(at - 15, 0), "grew by"),
    "leaks slowly": (lambda at: 60.0 + 0.4 * at, "grew by 0.40 MB/min"),  # but a large share
    "leaks by steps": (lambda at: 100.0 + 12 * (at // 4), "grew by"),
    "leaks and varies": (lambda at: 1000.0 + 4 * at + noise(at, 20), "grew by"),
    "leaks with a sawtooth": (lambda at: 500.0 + 3 * at + 60 * (at % 3 / 3), "grew by"),
    "varies too much": (lambda at: 1000.0 + noise(at, 200), "play for longer"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_names_what_grows_and_what_cannot_be_told(kind: str) -> None:
    memory, expected = KINDS[kind]
    result = verdict({kind: growth(MINUTES, [memory(at) for at in MINUTES])})
    assert expected in result
    assert (result == FLAT) == (expected == "flat")


def test_a_short_run_has_no_verdict() -> None:
    assert "play for longer" in verdict({"trainer": growth(MINUTES[:31], [100.0] * 31)})
    assert verdict({"trainer": growth(MINUTES[:61], [100.0] * 61)}) == FLAT
    assert "trainer" in verdict({"trainer": growth(MINUTES[:1], [100.0])})


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_growth(seed: int) -> None:
    source = random.Random(seed)
    samples = [1000 + source.gauss(0, 15) for _ in MINUTES]
    assert verdict({"trainer": growth(MINUTES, samples)}) == FLAT
    leaking = [sample + 3 * at for sample, at in zip(samples, MINUTES, strict=True)]
    assert "grew" in verdict({"trainer": growth(MINUTES, leaking)})
