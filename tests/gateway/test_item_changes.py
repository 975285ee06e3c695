"""PATCH /v1/items/{id}: it changes what it names, and no other write of the item is lost."""

import asyncio
from typing import Any

import pytest

from eddy.contract.topics import ITEMS
from eddy_gateway.settings import GatewaySettings
from tests.gateway.conftest import RunningGateway, serving

HEAT: dict[str, Any] = {
    "scenarios": ["video"],
    "title": "Heat",
    "text": "Cops and robbers",
    "categories": ["crime"],
    "attributes": {"year": "1995", "director": "Mann"},
    "available": True,
    "published_at": 788_918_400_000,
}


async def newest(gateway: RunningGateway, item_id: str) -> dict[str, Any]:
    """The last record of an item in the topic, which is all that compaction leaves."""
    return [record for _, record in await gateway.read(ITEMS) if record["item_id"] == item_id][-1]


async def test_a_patch_changes_what_it_names_and_a_put_replaces(gateway: RunningGateway) -> None:
    await gateway.http.put("/v1/items/m1", json=HEAT)
    answer = await gateway.http.patch("/v1/items/m1", json={"available": False})
    expected = {"item_id": "m1", **HEAT, "available": False}
    assert (answer.status_code, answer.json()) == (200, expected)
    assert await newest(gateway, "m1") == expected
    assert (await gateway.http.patch("/v1/items/m1", json={})).json() == expected
    await gateway.http.put("/v1/items/m1", json={"available": False})
    assert (await newest(gateway, "m1"))["title"] == ""
    assert len(await gateway.read(ITEMS)) == 3


@pytest.mark.parametrize(
    ("patch", "kind"), [({"colour": "red"}, "extra_forbidden"), ({"scenarios": ["cinema"]}, "unknown_scenario")]
)
async def test_an_invalid_patch_is_422_and_writes_nothing(
    gateway: RunningGateway, patch: dict[str, Any], kind: str
) -> None:
    await gateway.http.put("/v1/items/m1", json=HEAT)
    answer = await gateway.http.patch("/v1/items/m1", json=patch)
    assert answer.status_code == 422
    problems = [(problem["loc"], problem["type"]) for problem in answer.json()["detail"]]
    assert problems == [(["body", *patch], kind)]
    assert len(await gateway.read(ITEMS)) == 1


async def test_an_unknown_item_and_a_deleted_one_are_404(gateway: RunningGateway) -> None:
    await gateway.http.put("/v1/items/gone", json=HEAT)
    async with gateway.bus.producer() as producer:
        await (await producer.send(ITEMS, "gone", None))
    for item_id in ("never", "gone"):
        answer = await gateway.http.patch(f"/v1/items/{item_id}", json={"available": False})
        assert (answer.status_code, answer.json()) == (404, {"detail": f"no item '{item_id}' is stored. PUT it first."})


async def test_simultaneous_changes_by_two_gateways_are_all_kept(
    gateway: RunningGateway, settings: GatewaySettings
) -> None:
    """Every writer sets an attribute of its own; a plain write in between replaces the item, and is not undone either."""
    await gateway.http.put("/v1/items/m1", json=HEAT)
    async with serving(settings) as other:

        async def patch(number: int) -> None:
            through = (gateway, other)[number % 2]
            answer = await through.http.patch("/v1/items/m1", json={"attributes": {f"a{number}": "set"}})
            assert answer.status_code == 200

        await asyncio.gather(*map(patch, range(30)))
        attributes = (await newest(gateway, "m1"))["attributes"]
        assert attributes == HEAT["attributes"] | {f"a{number}": "set" for number in range(30)}

        await asyncio.gather(
            *map(patch, range(30, 40)), gateway.http.put("/v1/items/m1", json={"title": "Ronin"}), patch(41)
        )
    records = [record for _, record in await gateway.read(ITEMS)]
    replaced = next(index for index, record in enumerate(records) if record["title"] == "Ronin")
    for before, after in zip(records[replaced:], records[replaced + 1 :], strict=False):
        assert (after["title"], after["attributes"]) == ("Ronin", before["attributes"] | after["attributes"])


async def test_a_change_outlives_the_gateway(gateway: RunningGateway, settings: GatewaySettings) -> None:
    await gateway.http.put("/v1/items/m1", json=HEAT)
    await gateway.http.patch("/v1/items/m1", json={"available": False})
    async with serving(settings) as restarted:
        answer = await restarted.http.patch("/v1/items/m1", json={"title": "Heat (1995)"})
    assert answer.json() == {"item_id": "m1", **HEAT, "available": False, "title": "Heat (1995)"}


async def test_many_changes_are_few_transactions(gateway: RunningGateway) -> None:
    ids = [f"i{number}" for number in range(200)]
    await asyncio.gather(*(gateway.http.put(f"/v1/items/{item_id}", json=HEAT) for item_id in ids))
    answers = await asyncio.gather(
        *(gateway.http.patch(f"/v1/items/{item_id}", json={"available": False}) for item_id in ids)
    )
    assert {answer.status_code for answer in answers} == {200}
    records = [record for _, record in await gateway.read(ITEMS)]
    assert [record["available"] for record in records].count(False) == len(ids)
