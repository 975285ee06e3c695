"""The ids of the events of a log, compactly: some 16 bytes each, since there is one for each event of the last hour or more."""

import numpy as np

from eddy.contract.digests import digest_of

# New ids are in a dictionary until they are so many, and so large a share of all.
MIN_RECENT = 1024
RECENT_SHARE = 1 / 16


class EventIds:
    """Finds the first event with an id, by its offset in the log. An id belongs to its user, and is known by its digest.

    Ids of events before `since`, which never goes back, are forgotten.
    """

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}  # offset by digest
        # The others: digests, ascending, and their offsets.
        self._digests = np.zeros(0, np.uint64)
        self._offsets = np.zeros(0, np.int64)
        self._erased: dict[str, int] = {}  # users, and the offset from which on their events count; in that order

    def __len__(self) -> int:
        """The number of ids in memory; some of them may be forgotten."""
        return len(self._recent) + len(self._digests)

    def add(self, user_id: str, event_id: str, offset: int, since: int) -> int | None:
        """Add the id of the event at `offset`. Returns the offset of the first event with this id; None if it is this one."""
        digest = int.from_bytes(digest_of(f"{len(user_id)} {user_id}{event_id}"), "little")
        first = self._find(digest)
        if first is not None and first >= max(since, self._erased.get(user_id, since)):
            return first
        self._recent[digest] = offset
        if len(self._recent) >= max(MIN_RECENT, RECENT_SHARE * len(self._digests)):
            self._pack(since)
        return None

    def forget(self, user_id: str, before: int) -> None:
        """Forget the ids of a user's events before an offset: later events with the same ids are others."""
        self._erased.pop(user_id, None)
        self._erased[user_id] = before

    def _find(self, digest: int) -> int | None:
        offset = self._recent.get(digest)
        if offset is None and len(self._digests):
            index = int(self._digests.searchsorted(np.uint64(digest)))
            if index < len(self._digests) and int(self._digests[index]) == digest:
                return int(self._offsets[index])
        return offset

    def _pack(self, since: int) -> None:
        """Move the recent ids to the others, and drop those that are forgotten."""
        kept, count = self._offsets >= since, len(self._recent)
        digests = np.concatenate([np.fromiter(self._recent, np.uint64, count), self._digests[kept]])
        offsets = np.concatenate([np.fromiter(self._recent.values(), np.int64, count), self._offsets[kept]])
        self._digests, newest = np.unique(digests, return_index=True)  # of equal ones the first, which is a recent one
        self._offsets = offsets[newest]
        self._recent = {}
        self._erased = {user_id: before for user_id, before in self._erased.items() if before > since}
