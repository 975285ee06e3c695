"""Plays an attack through the gateway of a running stack, and compares the slates of users without a history before and after."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from rich.console import Console

from eddy.contract.codec import Codec
from eddy.contract.records import UserEvent
from eddy.errors import FatalError
from eddy_lab.attack.attacks import ATTACKS, Event, Scene
from eddy_lab.attack.command import Groups, report, verdict
from eddy_lab.attack.exposure import Exposure

MAX_EVENTS = 5000
PROBES = 40
SLATE = 10
_BATCH = 100
_FIELDS = ("event_id", "user_id", "scenario", "action", "item_id", "request_id", "occurred_at")


def check_loopback(url: str, remote: bool) -> None:
    """Raise FatalError for a gateway on another machine, unless `remote` says that it is meant: the events of an attack stay."""
    host = urlsplit(url).hostname or ""
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and not remote:
        raise FatalError(
            f"{url} is not on this machine. An attack leaves its events there; add --remote if that is what you want."
        )


def as_request(event: Event, run: str) -> dict[str, object]:
    """Return the body that publishes an event over HTTP. Ids carry the run, so that an attack can be repeated."""
    record = Codec.of(UserEvent).decode(event[1])
    body = {name: value for name, value in record.items() if name in _FIELDS and value is not None}
    return {**body, "event_id": f"{run}-{record['event_id']}", "user_id": f"{run}-{record['user_id']}"}


class Gateway:
    """The gateway of a running stack. Raises FatalError when it refuses something."""

    def __init__(self, client: httpx.Client, scenario: str) -> None:
        self._client = client
        self._scenario = scenario

    def publish(self, events: Sequence[Event], run: str) -> None:
        for start in range(0, len(events), _BATCH):
            body = [as_request(event, run) for event in events[start : start + _BATCH]]
            self._answer(self._client.post("/v1/events", json=body))

    def exposure(self, users: Sequence[str]) -> Exposure:
        """Return the exposure in a slate of each user."""
        items: list[list[str]] = []
        for user in users:
            query = f"scenario={self._scenario}&limit={SLATE}"
            slate = self._answer(self._client.get(f"/v1/recommendations/{user}?{query}"))
            items.append([item["item_id"] for item in slate["items"]])
        lists = Counter(item for slate in items for item in slate)
        return Exposure(len(items), lists, Counter(slate[0] for slate in items if slate))

    def _answer(self, response: httpx.Response) -> dict[str, list[dict[str, str]]]:
        if response.is_error:
            raise FatalError(f"{response.url} answered {response.status_code}: {response.text[:300]}")
        answer: dict[str, list[dict[str, str]]] = response.json()
        return answer


def attack_stack(
    names: Sequence[str],
    client: httpx.Client,
    scene: Scene,
    target: str | None,
    size: int | None,
    wait_sec: float,
    console: Console,
) -> bool:
    """Play attacks, of at most MAX_EVENTS events each, one after the other on the same stack; returns whether all failed.

    `scene` has the scenario and its actions; what an attacker sees comes from the stack.
    """
    gateway, failed = Gateway(client, scene.scenario), True
    for name in names:
        run = f"attack-{uuid4().hex[:8]}"
        users = [f"{run}-probe-{number}" for number in range(PROBES)]
        before = Groups(gateway.exposure(users), Exposure())
        shown = [item for item, _ in before.new.lists.most_common()]
        if not shown:
            raise FatalError(
                f"{client.base_url} recommends nothing in {scene.scenario}: play honest events first, with `eddy replay`"
            )
        now_ms = round(time.time() * 1000)
        seen = replace(scene, now_ms=now_ms, items=shown, target=target or shown[-1], rival=shown[0], duration_ms=1)
        events = list(ATTACKS[name].events(seen, min(size or MAX_EVENTS, MAX_EVENTS)))
        gateway.publish(events, run)
        time.sleep(wait_sec)
        after = Groups(gateway.exposure(users), Exposure())
        promoted = ATTACKS[name].promotes(seen)
        outcome, item = verdict(promoted, before, after), promoted or seen.rival
        report(
            f"{name}: {ATTACKS[name].summary}; {len(events)} events; item {item}", item, before, after, outcome, console
        )
        failed &= outcome.failed
    return failed
