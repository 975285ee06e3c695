"""Lists and events as bytes and messages, and a random life of users in which both occur."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.model import FEATURES, hash_of_contract
from eddy.contract.topics import RECOMMENDATIONS, USER_EVENTS

T0 = 1_700_000_000_000
SEC = 1000
LISTS = Codec.of("recommendations")
EVENTS = Codec.of("user_event")


def list_record(request_id: str, user_id: str, items: Sequence[str], at: int, **other: Any) -> Record:
    """A `recommendations` record; `considered` is the items unless given."""
    considered = list(other.pop("considered", items))
    seed = sum(request_id.encode())
    features = np.arange(len(considered) * len(FEATURES), dtype=np.float16) + np.float16(seed)
    history = other.pop("past", ["h-1", "h-2"])
    return {
        "request_id": request_id,
        "user_id": user_id,
        "scenario": "video",
        "requested_at": at,
        "served_at": at,
        "model_version": 7,
        "policy": "top_k",
        "trigger": "request",
        "applied_offset": -1,
        "items": [
            {
                "item_id": item,
                "position": place,
                "score": 1.0 - place / 10,
                "predictions": [0.25, 0.5],
                "propensity": 1.0 / (place + 1),
                "source": "encoder",
                "reason": "",
            }
            for place, item in enumerate(items)
        ],
        "considered": considered,
        "features": features.tobytes(),
        "feature_names": list(FEATURES),
        "prediction_names": ["click", "like"],
        "contract": hash_of_contract(),
        "refusal": None,
        "history": {
            "item_ids": list(history),
            "actions": ["click"] * len(history),
            "scenarios": ["video"] * len(history),
            "values": [0.5] * len(history),
            "occurred_at": [at - 1000] * len(history),
            "valued": [False] * len(history),
        },
        **other,
    }


def event_record(event_id: str, user_id: str, action: str, at: int, item: str | None = None, **other: Any) -> Record:
    """A `user_event` record."""
    return {
        "event_id": event_id,
        "user_id": user_id,
        "scenario": "video",
        "action": action,
        "item_id": item,
        "value": None,
        "query": None,
        "request_id": None,
        "position": None,
        "occurred_at": at,
        "attributes": {},
        **other,
    }


def message_of(record: Record, offset: int = 0, appended_at: int | None = None) -> Message:
    """The message that carries a list or an event."""
    is_list = "served_at" in record
    codec, topic = (LISTS, RECOMMENDATIONS) if is_list else (EVENTS, USER_EVENTS)
    at = record["requested_at"] if is_list else record["occurred_at"]
    key = record["user_id"].encode()
    return Message(topic, 0, offset, key, codec.encode(record), at if appended_at is None else appended_at)


@dataclass(frozen=True)
class Life:
    """What happened: each list stands before the first event that can know of it (`list_before[i]` events come before list i)."""

    slates: list[Record]
    events: list[Record]
    list_before: list[int]


def random_life(seed: int, steps: int, users: int = 8, step_ms: int = 40_000, disorder: float = 0.15) -> Life:
    """Users who get lists, see them, act on them or on something else; with duplicates and with events out of order."""
    rng = random.Random(seed)
    slates: list[Record] = []
    events: list[Record] = []
    list_before: list[int] = []
    at = T0
    for step in range(steps):
        at += rng.randrange(step_ms)
        user = f"u{rng.randrange(users)}"
        scenario = rng.choice(["video", "video", "shop", "search"])
        items = [f"i{number}" for number in rng.sample(range(30), rng.randrange(1, 6))]
        spare = [f"i{number}" for number in rng.sample(range(30), 3) if f"i{number}" not in items]
        request = f"r{step}"
        known = max((offset for offset, event in enumerate(events) if event["user_id"] == user), default=-1)
        served = list_record(
            request, user, items, at, considered=items + spare, scenario=scenario, applied_offset=known
        )
        slates.append(served)
        list_before.append(len(events))
        found = _acts(rng, step, user, scenario, request, items, at)
        if rng.random() < disorder:
            rng.shuffle(found)
        events += found
        if events and rng.random() < 2 * disorder:
            events.append(_again(rng, f"again-{step}", events, at))
    return Life(slates, events, list_before)


def _again(rng: random.Random, event_id: str, events: list[Record], at: int) -> Record:
    """Something that was there up to ten minutes before: the very same event, or the list shown once more."""
    recent = [event for event in events if at - event["occurred_at"] < 600 * SEC] or events[-1:]
    again = rng.choice(recent)
    if again["action"] == "impression" and rng.random() < 0.5:
        return {**again, "event_id": event_id, "occurred_at": at}
    return again


def _acts(
    rng: random.Random, step: int, user: str, scenario: str, request: str, items: list[str], at: int
) -> list[Record]:
    acts = {
        "video": ["click", "play", "like", "share", "skip", "search"],
        "shop": ["view", "click", "add_to_cart", "purchase"],
        "search": ["click", "like", "purchase", "search"],
    }[scenario]
    found: list[Record] = []
    if rng.random() < 0.85:
        named = rng.random() < 0.2
        for place, item in enumerate(rng.sample(items, rng.randrange(1, len(items) + 1)) if named else [None]):
            found.append(
                event_record(
                    f"e{step}-{place}", user, "impression", at + 10, item, request_id=request, scenario=scenario
                )
            )
    for number in range(rng.randrange(4)):
        item = rng.choice(items) if rng.random() < 0.7 else f"i{rng.randrange(30)}"
        own = request if rng.random() < 0.6 else None
        found.append(
            event_record(
                f"a{step}-{number}",
                user,
                rng.choice(acts),
                at + 20 + number * rng.choice([10, 10, 200_000]) if rng.random() < 0.1 else at + 20 + number,
                item,
                request_id=own,
                scenario=scenario,
            )
        )
    return found
