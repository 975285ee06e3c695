"""Events as publishers send them: good ones, duplicates, late ones, and each kind that cannot be used."""

import random
from typing import Any

from eddy.contract.codec import Codec
from eddy.contract.message import Message

START_MS = 1_600_000_000_000
DAY_MS = 24 * 3600 * 1000
Record = tuple[bytes | None, bytes]


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A `user_event` record."""
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
    """Key and value of an event."""
    return record["user_id"].encode(), Codec.of("user_event").encode(record)


def message(
    offset: int, record: Record, partition: int = 0, topic: str = "user-events", at: int = START_MS + DAY_MS
) -> Message:
    return Message(topic, partition, offset, record[0], record[1], at)


def messages(records: list[Record], partition: int = 0) -> list[Message]:
    """Records as one partition's log, from offset 0."""
    return [message(offset, record, partition) for offset, record in enumerate(records)]


def poison(number: int, far_ahead: int) -> Record:
    """One of the kinds that are dead-lettered, by turns."""
    good = event(number)
    kinds: list[Record] = [
        (b"u1", b"not avro at all"),
        (b"u1", b""),
        (b"u1", encoded(good)[1][:-3]),
        encoded({**good, "scenario": "nowhere"}),
        encoded({**good, "action": "teleport"}),
        encoded({**good, "item_id": None}),
        encoded({**good, "value": float("nan")}),
        encoded({**good, "occurred_at": far_ahead}),
        encoded({**good, "item_id": "x" * 257}),
        encoded({**good, "user_id": ""}),
        (b"somebody else", encoded(good)[1]),
        (None, encoded(good)[1]),
    ]
    return kinds[number % len(kinds)]


def stream(seed: int, count: int, users: int = 200, items: int = 400, far_ahead: int = 10**14) -> list[Record]:
    """A believable stream: several scenarios and actions, late events, duplicates, and now and then poison.

    Items belong to one scenario, named by their first letter.
    """
    chance = random.Random(seed)
    actions = [("video", "click"), ("video", "rate"), ("video", "skip"), ("video", "impression"), ("social", "like")]
    records: list[Record] = []
    poisoned = 0
    for number in range(count):
        if chance.random() < 0.01:
            records.append(poison(poisoned, far_ahead))
            poisoned += 1
        elif records and chance.random() < 0.02:
            records.append(chance.choice(records[-500:]))
        else:
            scenario, action = chance.choice(actions)
            whole_list = action == "impression" and chance.random() < 0.5
            late = chance.randrange(DAY_MS) if chance.random() < 0.1 else 0
            records.append(
                encoded(
                    event(
                        number,
                        user_id=f"u{min(chance.randrange(users), chance.randrange(users))}",
                        scenario=scenario,
                        action=action,
                        item_id=None
                        if whole_list
                        else f"{scenario[0]}{min(chance.randrange(items), chance.randrange(items))}",
                        value=chance.choice([None, 1.0, 2.5, 5.0, 100.0]),
                        occurred_at=START_MS + number * 60_000 - late,
                    )
                )
            )
    return records
