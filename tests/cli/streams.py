"""Small streams to replay in tests."""

from collections.abc import Sequence

from eddy_cli.replay.stream import Stream


def stream(users: Sequence[int], items: Sequence[int], step_ms: int = 1000) -> Stream:
    """One event per entry of `users`, `step_ms` apart, user `u<n>` acting on item `i<n>`."""
    item_ids = [f"i{number}" for number in range(max(items, default=0) + 1)]
    return Stream(
        dataset="tiny",
        user_ids=[f"u{number}" for number in range(max(users, default=0) + 1)],
        item_ids=item_ids,
        users=list(users),
        items=list(items),
        values=[1.0 + index % 5 for index in range(len(users))],
        times_ms=[1_000_000_000_000 + index * step_ms for index in range(len(users))],
        catalogue=[_item(item_id) for item_id in item_ids],
    )


def _item(item_id: str) -> dict[str, object]:
    return {
        "item_id": item_id,
        "scenarios": [],
        "title": item_id,
        "text": None,
        "categories": [],
        "attributes": {},
        "available": True,
        "published_at": None,
    }
