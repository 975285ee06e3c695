"""The attacks: what one person with many identities publishes to change the slates of others. No Kafka, no clock."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eddy.contract.codec import Codec
from eddy.contract.records import UserEvent

HOUR_MS = 3_600_000
DRIP_MS = 36 * HOUR_MS
BACK_MS = 240 * HOUR_MS
UNPUBLISHED = "attack-never-published"

Event = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the attacker knows: the scenario and its interaction, the time, popular items, the item to promote and the rival to bury.

    `negative` is an action of negative weight of the scenario, None without one.
    """

    scenario: str
    action: str
    negative: str | None
    now_ms: int
    items: Sequence[str]  # the most recommended items first
    target: str
    rival: str
    seed: int = 0
    duration_ms: int = HOUR_MS


@dataclass(frozen=True, slots=True)
class Attack:
    """`events(scene, size)` publishes about `size` events; `promotes` names the item whose exposure counts, None to bury the rival."""

    name: str
    summary: str
    events: Callable[[Scene, int], Iterator[Event]]
    size: int
    promotes: Callable[[Scene], str | None] = lambda scene: scene.target
    duration_ms: int = HOUR_MS


def _event(
    scene: Scene, number: int, user: str, action: str, item: str | None, share: float, request: str | None = None
) -> Event:
    """`share` is how much of the attack has passed."""
    record: UserEvent = {
        "event_id": f"attack-{number}",
        "user_id": user,
        "scenario": scene.scenario,
        "action": action,
        "item_id": item,
        "value": None,
        "query": None,
        "request_id": request,
        "position": None,
        "occurred_at": scene.now_ms + round(share * scene.duration_ms),
        "attributes": {},
    }
    return user, Codec.of(UserEvent).encode(record)


def one_click_users(scene: Scene, size: int) -> Iterator[Event]:
    """Every event is by another user: a single interaction with the target."""
    for number in range(size):
        yield _event(scene, number, f"attacker-{number}", scene.action, scene.target, number / size)


def unpublished_item(scene: Scene, size: int) -> Iterator[Event]:
    """One-click users on an item that nobody published."""
    for number in range(size):
        yield _event(scene, number, f"attacker-{number}", scene.action, UNPUBLISHED, number / size)


def bots_with_history(scene: Scene, size: int, history: int = 5, claimed_ms: int = 0) -> Iterator[Event]:
    """Each bot interacts with popular items first, then with the target; the history is said to be up to `claimed_ms` old."""
    generator = np.random.default_rng(scene.seed)
    popular = [item for item in scene.items if item != scene.target][:50]
    length = min(history, len(popular))
    for bot in range(max(1, size // (length + 1))):
        chosen = [popular[index] for index in generator.choice(len(popular), length, replace=False)]
        for step, item in enumerate([*chosen, scene.target]):
            number = bot * (length + 1) + step
            past = claimed_ms / scene.duration_ms * (length - step) / max(length, 1)
            yield _event(scene, number, f"attacker-{bot}", scene.action, item, number / size - past)


def trained_bots(scene: Scene, size: int) -> Iterator[Event]:
    """Fewer bots with longer histories."""
    return bots_with_history(scene, size, history=20)


def pair_covisits(scene: Scene, size: int) -> Iterator[Event]:
    """Each bot interacts with the most recommended item, then with the target."""
    for number in range(size):
        item = scene.target if number % 2 else next(item for item in scene.items if item != scene.target)
        yield _event(scene, number, f"attacker-{number // 2}", scene.action, item, number / size)


def repeats(scene: Scene, size: int) -> Iterator[Event]:
    """Five users repeat an interaction with the target."""
    for number in range(size):
        yield _event(scene, number, f"attacker-{number % 5}", scene.action, scene.target, number / size)


def impressions_without_request(scene: Scene, size: int) -> Iterator[Event]:
    """Impressions of the rival that no request was served for."""
    for number in range(size):
        request = f"attack-request-{number}" if number % 2 else None
        yield _event(scene, number, f"attacker-{number}", "impression", scene.rival, number / size, request)


def slow_drip(scene: Scene, size: int) -> Iterator[Event]:
    """Bots with histories, over a day and a half: a few interactions with the target an hour, none of them suspicious by itself."""
    return trained_bots(replace(scene, duration_ms=DRIP_MS), size)


def back_dated_bots(scene: Scene, size: int) -> Iterator[Event]:
    """Bots that claim a history of ten days when they arrive."""
    return bots_with_history(scene, size, history=20, claimed_ms=BACK_MS)


def negative_bombing(scene: Scene, size: int) -> Iterator[Event]:
    """Every event is by another user: the rival is rejected."""
    if scene.negative is None:
        return
    for number in range(size):
        yield _event(scene, number, f"attacker-{number}", scene.negative, scene.rival, number / size)


def _bury(_: Scene) -> str | None:
    return None


ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        Attack("one_click", "users with a single interaction, with the target", one_click_users, 5000),
        Attack(
            "unpublished",
            "users with a single interaction, with an item nobody published",
            unpublished_item,
            500,
            lambda _: UNPUBLISHED,
        ),
        Attack("bots", "bots with five popular items, then the target", bots_with_history, 5000),
        Attack("trained_bots", "bots with twenty popular items, then the target", trained_bots, 5000),
        Attack("drip", "bots with twenty popular items, over 36 hours", slow_drip, 5000, duration_ms=DRIP_MS),
        Attack("back_dated", "bots that claim a history of ten days", back_dated_bots, 5000),
        Attack("pair", "the most recommended item, then the target", pair_covisits, 5000),
        Attack("repeats", "five users repeat the target", repeats, 5000),
        Attack("impressions", "impressions of the rival without a request", impressions_without_request, 5000, _bury),
        Attack("negatives", "the rival is rejected", negative_bombing, 5000, _bury),
    )
}
