"""Slates and events as records and messages, and random activity of users."""

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
# Append time of a log that is replayed long after it was lived.
REPLAYED_AT = T0 + 365 * 86_400_000
SLATES = Codec.of("recommendations")
EVENTS = Codec.of("user_event")


def slate_record(request_id: str, user_id: str, items: Sequence[str], at: int, **other: Any) -> Record:
    """A `recommendations` record; `considered` defaults to the items."""
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
                "position": position,
                "score": 1.0 - position / 10,
                "predictions": [0.25, 0.5],
                "propensity": 1.0 / (position + 1),
                "source": "encoder",
                "reason": "",
            }
            for position, item in enumerate(items)
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
    """The message of a slate or an event."""
    is_slate = "served_at" in record
    codec, topic = (SLATES, RECOMMENDATIONS) if is_slate else (EVENTS, USER_EVENTS)
    at = record["requested_at"] if is_slate else record["occurred_at"]
    key = record["user_id"].encode()
    return Message(topic, 0, offset, key, codec.encode(record), at if appended_at is None else appended_at)


@dataclass(frozen=True)
class Activity:
    """What happened, in order: `events_before[i]` events happened before slate i, and none of them refers to it."""

    slates: list[Record]
    events: list[Record]
    events_before: list[int]


# An event happens at most so long after its slate.
MOST_AHEAD_MS = 20 + 3 * 200_000


def random_activity(seed: int, steps: int, users: int = 8, step_ms: int = 40_000, disorder: float = 0.15) -> Activity:
    """Users receive slates, see them and interact with their items or with others; with duplicates and events out of order."""
    rng = random.Random(seed)
    slates: list[Record] = []
    events: list[Record] = []
    events_before: list[int] = []
    last_offsets: dict[str, int] = {}
    newest = 0  # offset of the first event that may be recent
    at = T0
    for step in range(steps):
        at += rng.randrange(step_ms)
        user = f"u{rng.randrange(users)}"
        scenario = rng.choice(["video", "video", "shop", "search"])
        items = [f"i{number}" for number in rng.sample(range(30), rng.randrange(1, 6))]
        spare = [f"i{number}" for number in rng.sample(range(30), 3) if f"i{number}" not in items]
        request = f"r{step}"
        slate = slate_record(
            request,
            user,
            items,
            at,
            considered=items + spare,
            scenario=scenario,
            applied_offset=last_offsets.get(user, -1),
        )
        slates.append(slate)
        events_before.append(len(events))
        happened = _interactions(rng, step, user, scenario, request, items, at)
        if rng.random() < disorder:
            rng.shuffle(happened)
        if rng.random() < 2 * disorder and (events or happened):
            while newest < len(events) and at - events[newest]["occurred_at"] >= 600 * SEC + MOST_AHEAD_MS:
                newest += 1
            happened.append(_repeat(rng, f"again-{step}", events[newest:] + happened, at))
        last_offsets |= {event["user_id"]: len(events) + number for number, event in enumerate(happened)}
        events += happened
    return Activity(slates, events, events_before)


def _repeat(rng: random.Random, event_id: str, events: list[Record], at: int) -> Record:
    """An event of the last ten minutes again: a duplicate, or another impression of the slate."""
    recent = [event for event in events if at - event["occurred_at"] < 600 * SEC] or events[-1:]
    event = rng.choice(recent)
    if event["action"] == "impression" and rng.random() < 0.5:
        return {**event, "event_id": event_id, "occurred_at": at}
    return event


def _interactions(
    rng: random.Random, step: int, user: str, scenario: str, request: str, items: list[str], at: int
) -> list[Record]:
    actions = {
        "video": ["click", "play", "like", "share", "skip", "search"],
        "shop": ["view", "click", "add_to_cart", "purchase"],
        "search": ["click", "like", "purchase", "search"],
    }[scenario]
    happened: list[Record] = []
    if rng.random() < 0.85:
        by_item = rng.random() < 0.2
        for index, item in enumerate(rng.sample(items, rng.randrange(1, len(items) + 1)) if by_item else [None]):
            happened.append(
                event_record(
                    f"e{step}-{index}", user, "impression", at + 10, item, request_id=request, scenario=scenario
                )
            )
    for number in range(rng.randrange(4)):
        item = rng.choice(items) if rng.random() < 0.7 else f"i{rng.randrange(30)}"
        request_id = request if rng.random() < 0.6 else None
        happened.append(
            event_record(
                f"a{step}-{number}",
                user,
                rng.choice(actions),
                at + 20 + number * rng.choice([10, 10, 200_000]) if rng.random() < 0.1 else at + 20 + number,
                item,
                request_id=request_id,
                scenario=scenario,
            )
        )
    return happened
