"""DELETE of users and items: a tombstone in the log that decides, and a notice in `erasures`."""

import pytest
from pydantic import SecretStr

from eddy.contract.codec import Codec
from eddy.contract.erasure import decode_scenarios, encode_scenarios
from eddy.contract.message import Message
from eddy.contract.pseudonym import pseudonym
from eddy.contract.topics import ERASURES, ITEMS, RECOMMENDATION_REQUESTS, USER_EVENTS, USER_FEATURES
from eddy_gateway.settings import GatewaySettings
from eddy_scorer.core.model.releases import ReleaseStaging
from eddy_scorer.shell.state_updater import StateUpdater
from tests.gateway.conftest import NOW_MS, RunningGateway, serving
from tests.gateway.test_events import click
from tests.release_keys import KEYS
from tests.scorer.factories import recommender
from tests.service import read_all

pytestmark = pytest.mark.broker


async def test_deleting_a_user_divides_the_log(gateway: RunningGateway) -> None:
    first, second = [
        (await gateway.http.post("/v1/events", json=click(user_id="a/b"))).json()["accepted"][0]["offset"]
        for _ in range(2)
    ]
    for _ in range(2):  # idempotent
        answer = await gateway.http.delete("/v1/users/a/b")
        assert (answer.status_code, answer.json()) == (202, {"user_id": "a/b"})
    after = (await gateway.http.post("/v1/events", json=click(user_id="a/b"))).json()["accepted"][0]["offset"]
    log = [message for message in await read_all(gateway.bus, USER_EVENTS) if message.key == b"a/b"]
    assert [(message.offset, message.tombstone) for message in log] == [
        (first, False),
        (second, False),
        (second + 1, True),
        (second + 2, True),
        (after, False),
    ]
    notices = await notices_of(gateway)
    assert notices == [("a/b", "user", second + 1), ("a/b", "user", second + 2)]


async def test_deleting_an_item_deletes_its_record(gateway: RunningGateway) -> None:
    await gateway.http.put("/v1/items/m7", json={"title": "Seven"})
    answer = await gateway.http.delete("/v1/items/m7")
    assert (answer.status_code, answer.json()) == (202, {"item_id": "m7"})
    stored, deleted = await read_all(gateway.bus, ITEMS)
    assert (stored.tombstone, deleted.tombstone, deleted.key) == (False, True, b"m7")
    assert await notices_of(gateway) == [("m7", "item", deleted.offset)]


async def test_the_tombstone_of_an_item_tells_a_new_scorer_that_its_scenario_had_a_catalogue(
    gateway: RunningGateway,
) -> None:
    await gateway.http.put("/v1/items/m8", json={"title": "Eight", "scenarios": ["video"]})
    await gateway.http.delete("/v1/items/m8")
    await gateway.http.delete("/v1/items/nobody")
    messages = await read_all(gateway.bus, ITEMS)
    assert {(message.key, message.scenarios) for message in messages if message.tombstone} == {
        (b"m8", ("video",)),
        (b"nobody", None),
    }
    scorer = recommender()
    catalogue = scorer.state.items._columns.catalogue
    catalogue.allow_counted(catalogue.ensure_row("junk"), [0, 1])
    updater = StateUpdater(scorer, ReleaseStaging(KEYS), lambda *_: None)
    for message in messages:
        if message.tombstone:  # all that compaction leaves
            updater.apply(message)
    assert catalogue.eligible[:2, catalogue.find("junk")].tolist() == [False, True]


@pytest.mark.parametrize("value", [b"", b"video", b'"video"', b"[1]", b"{}", b"[" * 100_000, b"\xff"])
def test_a_header_that_names_no_scenarios_is_ignored(value: bytes) -> None:
    assert decode_scenarios(value) is None
    assert decode_scenarios(encode_scenarios(["a", "\n,"])) == ("a", "\n,")


@pytest.mark.parametrize("kind", ["users", "items"])
async def test_an_id_that_no_record_can_have_is_refused(gateway: RunningGateway, kind: str) -> None:
    answer = await gateway.http.delete(f"/v1/{kind}/{'x' * 257}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", f"{kind[:-1]}_id"]
    assert not await read_all(gateway.bus, ERASURES)


async def notices_of(gateway: RunningGateway) -> list[tuple[str, str, int | None]]:
    messages: list[Message] = await read_all(gateway.bus, ERASURES)
    records = [Codec.for_topic(ERASURES).decode(message.value) for message in messages]
    assert {record["requested_at"] for record in records} <= {NOW_MS}
    return [(record["id"], record["kind"], record["erased_offset"]) for record in records]


async def test_everything_known_of_a_user_is_handed_out_until_the_erasure(gateway: RunningGateway) -> None:
    assert (await gateway.http.get("/v1/users/u1")).status_code == 404
    records = [encoded_user("u2", offset) for offset in (3, 4)]
    async with gateway.bus.producer() as producer:
        await producer.send_all(USER_FEATURES, [("u2", record) for record in records])
        answer = await gateway.http.get("/v1/users/u2")
        await producer.send_all(USER_FEATURES, [("u2", None)])
    assert answer.json() == {
        "user_id": "u2",
        "as_of": 7,
        "interactions": [{"item_id": "m1", "action": "click", "scenario": "video", "value": 1.0, "occurred_at": 4}],
        "counts": {"video/click": 4},
        "packed": {"recent_events": "MTIzNDU2Nzg="},
    }
    assert (await gateway.http.get("/v1/users/u2")).status_code == 404


async def test_no_topic_has_the_id_of_a_user_with_a_pseudonym(settings: GatewaySettings) -> None:
    key = "k" * 32
    keyed = settings.model_copy(update={"pseudonym_key": SecretStr(key)})
    alias = pseudonym("anna@example.org", key)
    assert alias == pseudonym("anna@example.org", key) != pseudonym("anna@example.org", "l" * 32)
    assert len(alias) == 22
    async with serving(keyed) as gateway, gateway.bus.producer() as producer:
        await gateway.http.post("/v1/events", json=click(user_id="anna@example.org"))
        await gateway.http.get("/v1/recommendations/anna@example.org?scenario=video")  # 504: there is no scorer
        await producer.send_all(USER_FEATURES, [(alias, encoded_user(alias, 1))])
        known = (await gateway.http.get("/v1/users/anna@example.org")).json()
        assert (known["user_id"], len(known["interactions"])) == ("anna@example.org", 1)
        erased = await gateway.http.delete("/v1/users/anna@example.org")
        assert erased.json() == {"user_id": "anna@example.org"}
        for topic in (USER_EVENTS, RECOMMENDATION_REQUESTS, ERASURES):
            messages = await read_all(gateway.bus, topic)
            assert {message.key for message in messages} == {alias.encode()}
            assert not any(b"anna" in message.value for message in messages)


def encoded_user(user_id: str, events: int) -> bytes:
    return Codec.for_topic(USER_FEATURES).encode(
        {
            "user_id": user_id,
            "applied_offset": events,
            "as_of": 3 + events,
            "age_start": 3,
            "history": {
                "item_ids": ["m1"],
                "actions": ["click"],
                "scenarios": ["video"],
                "values": [1.0],
                "occurred_at": [events],
                "valued": [False],
            },
            "offsets": [events],
            "seen": b"",
            "counts": {"video/click": events},
            "recent_events": b"12345678",
            "seen_items": b"",
            "ratings": b"",
            "rejected_items": b"",
            "shown": b"",
            "log_id": b"a" * 16,
        }
    )
