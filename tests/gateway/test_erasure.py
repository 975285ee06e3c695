"""DELETE of users and items: a tombstone in the log that decides, and a notice in `erasures`."""

import pytest

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.topics import ERASURES, ITEMS, USER_EVENTS
from tests.gateway.conftest import NOW_MS, RunningGateway
from tests.gateway.test_events import click
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
