"""A stand-in for the scorer that answers every request at once with the same items."""

import time
from collections.abc import Sequence
from typing import Any

from eddy.contract.codec import Codec, Record
from eddy.contract.topics import RECOMMENDATION_REQUESTS, RECOMMENDATIONS
from eddy.kafka.bus import Bus

EMPTY_HISTORY: Record = {
    "item_ids": [],
    "actions": [],
    "scenarios": [],
    "values": [],
    "occurred_at": [],
    "valued": [],
}


def answer(request: Record, item_ids: Sequence[str], version: int = 0) -> Record:
    """A `recommendations` record with these items, as if the user's features were up to date."""
    return {
        "request_id": request["request_id"],
        "user_id": request["user_id"],
        "scenario": request["scenario"],
        "requested_at": request["requested_at"],
        "served_at": time.time_ns() // 1_000_000,
        "model_version": version,
        "policy": "fixed",
        "trigger": "request",
        "applied_offset": -1 if request["after_offset"] is None else request["after_offset"],
        "items": [_slate_item(position, item_id) for position, item_id in enumerate(item_ids[: request["limit"]])],
        "considered": list(item_ids),
        "features": b"",
        "feature_names": [],
        "prediction_names": [],
        "contract": "",
        "refusal": None,
        "history": EMPTY_HISTORY,
    }


async def answer_requests(bus: Bus, item_ids: Sequence[str], version: int = 0) -> None:
    """Answer until cancelled."""
    codec, answers = Codec.of("recommendation_request"), Codec.of("recommendations")
    async with bus.producer() as producer, bus.reader(bus.topic_partitions(RECOMMENDATION_REQUESTS)) as reader:
        while True:
            requests = [codec.decode(message.value) for message in await reader.batch(100)]
            records = [(one["user_id"], answers.encode(answer(one, item_ids, version))) for one in requests]
            await producer.send_all(RECOMMENDATIONS, records)


def _slate_item(position: int, item_id: str) -> dict[str, Any]:
    return {
        "item_id": item_id,
        "position": position,
        "score": 1.0 / (1 + position),
        "predictions": [],
        "propensity": 1.0,
        "source": "trending",
        "reason": "",
    }
