"""The soak: what it plays comes and goes, and its verdict names what grew."""

import pytest

from eddy_lab.soak.churn import CATALOGUE_DAYS, DAY_MS, DAYS, NEW_ITEMS_PER_DAY, Churn
from eddy_lab.soak.memory import growth, verdict

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


def test_the_verdict_names_what_grew_in_the_second_half() -> None:
    minutes = [number / 6 for number in range(61)]
    warming = [200.0 + min(each, 3.0) * 50 for each in minutes]
    leaking = [300.0 + 2.0 * each for each in minutes]
    small = [20.0 + 0.9 * each for each in minutes]  # slow, but a large share
    noisy = [400.0 + 3 * (number % 2) for number in range(61)]
    growths = {
        name: growth(minutes, samples)
        for name, samples in {"warming": warming, "leaking": leaking, "small": small, "noisy": noisy}.items()
    }
    assert [name for name, each in growths.items() if not each.flat] == ["leaking", "small"]
    assert growths["leaking"].mb_per_min == pytest.approx(2.0, abs=0.01)
    assert "leaking grew by 2.00 MB/min" in verdict(growths)
    assert verdict({"noisy": growths["noisy"]}) == "flat"
