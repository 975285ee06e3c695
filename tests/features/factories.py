"""Events as publishers send them: usable, duplicate, late, and unusable in every way."""

import json
import random
import zlib
from collections.abc import Sequence
from typing import Any

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.errors import DecodeError
from eddy.paths import SCHEMAS

START_MS = 1_600_000_000_000
# Requests of a user in a stream; an impression reports one of them.
REQUESTS = 40
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


def slate(user_id: str, request_id: str, items: Sequence[str], scenario: str = "video") -> Record:
    """Return key and value of a `recommendations` record."""
    codec = Codec.of("recommendations")
    example = json.loads((SCHEMAS / "examples" / "recommendations.json").read_text())
    example |= {"user_id": user_id, "request_id": request_id, "scenario": scenario, "features": b"", "considered": []}
    example["items"] = [{**example["items"][0], "item_id": item, "position": n} for n, item in enumerate(items)]
    return user_id.encode(), codec.encode(example)


def slate_items(request_id: str) -> list[str]:
    """The items of a request's slate."""
    return [f"v{zlib.crc32(request_id.encode()) // 7**place % 400}" for place in range(4)]


def slates(records: Sequence[Record]) -> list[Record]:
    """The slates of the impressions in a stream, but for every tenth request, which was never served."""
    codec = Codec.of("user_event")
    requests: dict[str, str] = {}
    for key, value in records:
        try:
            shown = codec.decode(value)
        except DecodeError:
            continue
        if shown["request_id"] and key == shown["user_id"].encode() and not shown["request_id"].endswith("9"):
            requests[shown["request_id"]] = shown["user_id"]
    return [slate(user_id, request_id, slate_items(request_id)) for request_id, user_id in requests.items()]


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
            late = rng.randrange(DAY_MS) if rng.random() < 0.1 else 0
            user_id = f"u{min(rng.randrange(users), rng.randrange(users))}"
            item_id: str | None = f"{scenario[0]}{min(rng.randrange(items), rng.randrange(items))}"
            request_id = None
            if action == "impression":
                request_id = f"{user_id}-{rng.randrange(REQUESTS)}"
                item_id = rng.choice([None, item_id, *slate_items(request_id)])
            records.append(
                encoded(
                    event(
                        number,
                        user_id=user_id,
                        scenario=scenario,
                        action=action,
                        item_id=item_id,
                        request_id=request_id,
                        value=rng.choice([None, 1.0, 2.5, 5.0, 100.0]),
                        occurred_at=START_MS + number * 60_000 - late,
                    )
                )
            )
    return records
