"""What happens in a soak: users who come, act and are never seen again, and items that are published, deleted or only named by events."""

import random
from dataclasses import dataclass, field

from eddy.contract.records import Item, RecommendationRequest, Recommendations

DAY_MS = 86_400_000
DAYS = 30
EVENTS_PER_USER = 12
NEW_ITEMS_PER_DAY = 100
CATALOGUE_DAYS = 3
# Of the items of events, those that nobody publishes: they expire.
UNPUBLISHED_SHARE = 0.05
SLATE = 10
CLICK_SHARE = 0.5
DELETED_USERS_SHARE = 0.1

Event = dict[str, object]


@dataclass
class Churn:
    """The world at event time `now` (ms), which starts at `start` and ends DAYS later. `advance` moves it on."""

    start: int
    events_per_day: float
    source: random.Random = field(default_factory=lambda: random.Random(0))
    users: list[tuple[str, int]] = field(default_factory=list)  # with the number of events that are left
    items: list[tuple[str, float]] = field(default_factory=list)  # with the day of their publication, oldest first
    gone_users: list[str] = field(default_factory=list)  # to be erased
    _users: int = 0
    _items: int = 0
    _slates: dict[str, Recommendations] = field(default_factory=dict)  # the newest of each user
    now: int = 0

    def __post_init__(self) -> None:
        self.now = self.start

    @property
    def day(self) -> float:
        return (self.now - self.start) / DAY_MS

    def advance(self, share: float) -> None:
        """Move on to `share` (0..1) of the month."""
        self.now = self.start + round(share * DAYS * DAY_MS)

    def new_items(self) -> list[Item]:
        """The items that are published by now and were not returned before. The first ones fill a catalogue."""
        due = round((self.day + CATALOGUE_DAYS) * NEW_ITEMS_PER_DAY)
        first, self._items = self._items, max(due, self._items)
        numbers = range(first, self._items)
        self.items += [
            (f"item-{number}", self.day if first else number / NEW_ITEMS_PER_DAY - CATALOGUE_DAYS) for number in numbers
        ]
        return [self._item(number) for number in numbers]

    def deleted_items(self) -> list[str]:
        """The items that are deleted by now and were not returned before."""
        gone = [name for name, day in self.items if day < self.day - CATALOGUE_DAYS]
        del self.items[: len(gone)]
        return gone

    def event(self) -> Event:
        """The next event: of a user who has a slate an impression or a click on it, otherwise an interaction with some item."""
        user = self._next_user()
        slate = self._slates.pop(user, None)
        if slate is not None and slate["items"]:
            if self.source.random() < CLICK_SHARE:
                position = self.source.randrange(len(slate["items"]))
                name = slate["items"][position]["item_id"]
                return self._event(user, "click", item_id=name, request_id=slate["request_id"], position=position)
            return self._event(user, "impression", request_id=slate["request_id"])
        if self.source.random() < UNPUBLISHED_SHARE:
            return self._event(user, "click", item_id=f"unpublished-{int(self.day)}-{self.source.randrange(100)}")
        name, _ = self.items[min(int(self.source.expovariate(8 / len(self.items))), len(self.items) - 1)]
        return self._event(user, "play", item_id=name, value=600)

    def request(self, user: str, number: int) -> RecommendationRequest:
        """A request of a user."""
        return {
            "request_id": f"soak-{number}",
            "user_id": user,
            "scenario": "video",
            "limit": SLATE,
            "query": None,
            "candidates": None,
            "exclude": [],
            "after_offset": None,
            "deadline_at": None,
            "requested_at": self.now,
        }

    def serve(self, slate: Recommendations) -> None:
        """Take the answer to a request; a user who is gone does not look at it."""
        if any(user == slate["user_id"] for user, _ in self.users):
            self._slates[slate["user_id"]] = slate

    def _next_user(self) -> str:
        active = max(10, round(self.events_per_day / EVENTS_PER_USER / 4))
        while len(self.users) < active:
            self._users += 1
            self.users.append((f"user-{self._users}", self.source.randrange(1, 2 * EVENTS_PER_USER)))
        index = self.source.randrange(len(self.users))
        user, left = self.users[index]
        if left > 1:
            self.users[index] = user, left - 1
            return user
        self.users[index] = self.users[-1]
        self.users.pop()
        self._slates.pop(user, None)
        if self.source.random() < DELETED_USERS_SHARE:
            self.gone_users.append(user)
        return user

    def _event(self, user: str, action: str, **fields: object) -> Event:
        return {"user_id": user, "scenario": "video", "action": action, "occurred_at": self.now, **fields}

    def _item(self, number: int) -> Item:
        return {
            "item_id": f"item-{number}",
            "scenarios": [],
            "title": f"Title {number}",
            "text": None,
            "categories": [f"category {number % 20}", f"series {number // 10}"],
            "attributes": {},
            "available": True,
            "published_at": None,
        }
