"""Events as publishers send them: usable, duplicate, late, and unusable in every way."""

import random
from typing import Any

from eddy.contract.codec import Codec
from eddy.contract.message import Message

START_MS = 1_600_000_000_000
DAY_MS = 24 * 3600 * 1000
Record = tuple[bytes | None, bytes]


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a `user_event` record."""
    return {
        "event_id": f"e{number}",
        "user_id": "u1",
        "scenario": "video",
        "action": "click",
        "item_id": f"m{number}",
        "value": None,
        "query": None,
        "request_id": None,
        "position": None,
        "occurred_at": START_MS + number * 1000,
        "attributes": {},
        **changes,
    }


def encoded(record: dict[str, Any]) -> Record:
    """Return key and value of an event."""
    return record["user_id"].encode(), Codec.of("user_event").encode(record)


def message(
    offset: int, record: Record, partition: int = 0, topic: str = "user-events", at: int = START_MS + DAY_MS
) -> Message:
    return Message(topic, partition, offset, record[0], record[1], at)


def messages(records: list[Record], partition: int = 0) -> list[Message]:
    """Return records as the log of a partition, from offset 0."""
    return [message(offset, record, partition) for offset, record in enumerate(records)]


def poison(number: int, future_ms: int) -> Record:
    """Return one of the kinds of unusable records, in rotation."""
    usable = event(number)
    kinds: list[Record] = [
        (b"u1", b"not avro at all"),
        (b"u1", b""),
        (b"u1", encoded(usable)[1][:-3]),
        encoded({**usable, "scenario": "nowhere"}),
        encoded({**usable, "action": "teleport"}),
        encoded({**usable, "item_id": None}),
        encoded({**usable, "value": float("nan")}),
        encoded({**usable, "occurred_at": future_ms}),
        encoded({**usable, "item_id": "x" * 257}),
        encoded({**usable, "user_id": ""}),
        (b"somebody else", encoded(usable)[1]),
        (None, encoded(usable)[1]),
    ]
    return kinds[number % len(kinds)]


def stream(seed: int, count: int, users: int = 200, items: int = 400, future_ms: int = 10**14) -> list[Record]:
    """Return a realistic stream: several scenarios and actions, late events, duplicates, and 1 % unusable records.

    Each item belongs to one scenario, given by its first letter.
    """
    rng = random.Random(seed)
    actions = [("video", "click"), ("video", "rate"), ("video", "skip"), ("video", "impression"), ("social", "like")]
    records: list[Record] = []
    poisoned = 0
    for number in range(count):
        if rng.random() < 0.01:
            records.append(poison(poisoned, future_ms))
            poisoned += 1
        elif records and rng.random() < 0.02:
            records.append(rng.choice(records[-500:]))
        else:
            scenario, action = rng.choice(actions)
            whole_slate = action == "impression" and rng.random() < 0.5
            late = rng.randrange(DAY_MS) if rng.random() < 0.1 else 0
            records.append(
                encoded(
                    event(
                        number,
                        user_id=f"u{min(rng.randrange(users), rng.randrange(users))}",
                        scenario=scenario,
                        action=action,
                        item_id=None
                        if whole_slate
                        else f"{scenario[0]}{min(rng.randrange(items), rng.randrange(items))}",
                        value=rng.choice([None, 1.0, 2.5, 5.0, 100.0]),
                        occurred_at=START_MS + number * 60_000 - late,
                    )
                )
            )
    return records
