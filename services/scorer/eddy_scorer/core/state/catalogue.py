"""Items by row: ids, availability, categories, words. Row 0 is padding."""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from eddy.contract.digests import digest_of
from eddy.contract.model import MAX_SCENARIOS, PADDING_ROW
from eddy.contract.records import Item
from eddy.contract.scenarios import Scenario, Scenarios
from eddy.errors import PoisonError
from eddy.words import normalise, query_words, words_of
from eddy_scorer.core.state.arrays import FIRST_CAPACITY, I32, I64, Bool, grown, grown_rows

# Further categories of an item are ignored.
MAX_CATEGORIES = 8
# Deleted items that are remembered after their rows were freed, by the digests of their ids.
MAX_DELETED = 100_000
_NO_ROWS: I32 = np.zeros(0, np.int32)


class Catalogue:
    """Maps item ids to rows. An item gets a row when a record first names it, and keeps it until the row is retired: nothing is known of
    the item any more, and nothing refers to the row (eddy_scorer.core.state.row_reclaim). A released row is given to a new item.

    `ids` has "" for padding, retired and free rows. `additions` counts the items that got a row, `retirements` the calls of `retire`.

    `categories` [capacity, MAX_CATEGORIES] are numbers from 1, padded with 0; no item has more than `max_categories_used`.

    `eligible` [MAX_SCENARIOS, capacity] marks the rows that may be recommended in a scenario: published and available there; or never
    published but with counts there, if no item was ever published for the scenario or it allows that (`published_only: false`). A deleted
    item is eligible nowhere.

    `published_at` [capacity] are the publication times in milliseconds, 0 if the publisher gives none. An eligible item with a later one
    than a request is not recommended there yet (`unpublished_at`).
    """

    def __init__(self, scenarios: Scenarios) -> None:
        self._scenario_ids = scenarios.ids
        self._unfiltered_scenarios: set[int] = set()
        self._counted_too: set[int] = set()  # scenarios with `published_only: false`
        self._with_catalogue: set[int] = set()  # scenarios for which an item was published
        self.ids: list[str] = [""]
        self.additions = self.retirements = 0
        self._free_rows: list[int] = []
        self.has_item: Bool = np.zeros(FIRST_CAPACITY, bool)
        self._touched: set[int] | None = None
        self._deleted_digests: dict[int, None] = {}  # oldest first
        self._rows: dict[str, int] = {}
        self._rows_of_hash: dict[int, int] = {}
        self._rows_of_digest: dict[int, int] = {}
        self.eligible: Bool = np.zeros((MAX_SCENARIOS, FIRST_CAPACITY), bool)
        self.eligible_count = [0] * MAX_SCENARIOS
        self.published: Bool = np.zeros(FIRST_CAPACITY, bool)
        self._deleted: Bool = np.zeros(FIRST_CAPACITY, bool)
        # Rows with counts in a scenario.
        self._counted: Bool = np.zeros((MAX_SCENARIOS, FIRST_CAPACITY), bool)
        self._changed: list[int] = []
        self._available: Bool = np.zeros(FIRST_CAPACITY, bool)
        self._named_scenarios: dict[int, list[str]] = {}  # row -> the scenarios it is published for, if not all
        self.published_at: I64 = np.zeros(FIRST_CAPACITY, np.int64)
        self._arrived_at: I64 = np.zeros(
            FIRST_CAPACITY, np.int64
        )  # of the first record of an item since it was published
        self._last_publication = 0
        self.categories: I32 = np.zeros((FIRST_CAPACITY, MAX_CATEGORIES), np.int32)
        self.max_categories_used = 1
        self._category_numbers: dict[str, int] = {}
        self._free_categories: list[int] = []
        self._rows_of_word: dict[str, set[int]] = {}
        self._words: dict[int, frozenset[str]] = {}
        scenarios.subscribe(self._add_scenario)

    def __len__(self) -> int:
        """Number of rows: padding, retired and free ones included."""
        return len(self.ids)

    @property
    def item_count(self) -> int:
        """Number of items with a row."""
        return len(self._rows)

    @property
    def category_count(self) -> int:
        return max(self._category_numbers.values(), default=0)

    def find(self, item_id: str) -> int:
        """The item's row, or PADDING_ROW for an unknown item."""
        return self._rows.get(item_id, PADDING_ROW)

    def ensure_row(self, item_id: str) -> int:
        """The item's row, new if it has none. Raises PoisonError for an empty id."""
        (row,) = self.ensure_rows((item_id,))
        return row

    def ensure_rows(self, item_ids: Iterable[str]) -> list[int]:
        rows, add = self._rows, self._add
        ensured = [rows[item_id] if item_id in rows else add(item_id) for item_id in item_ids]
        if self._touched is not None:
            self._touched.update(ensured)
        return ensured

    def watch_rows(self) -> None:
        """From now on note which rows are asked for: others may refer to them."""
        self._touched = set()

    def touched_rows(self) -> set[int]:
        """The rows that were asked for since `watch_rows`."""
        return self._touched or set()

    def unwatch_rows(self) -> None:
        """Note no rows any more."""
        self._touched = None

    def retire(self, rows: I64) -> None:
        """Forget the items of rows that are eligible nowhere. `release` makes the rows free."""
        self.retirements += 1
        for row in rows.tolist():
            item_id = self.ids[row]
            hashed, digest = zlib.crc32(item_id.encode()), _digest(item_id)
            if self._rows_of_hash.get(hashed) == row:
                del self._rows_of_hash[hashed]
            if self._rows_of_digest.get(digest) == row:
                del self._rows_of_digest[digest]
            del self._rows[item_id]
            self.ids[row] = ""
            self._set_words(row, frozenset())
            self._named_scenarios.pop(row, None)
            if self._deleted[row]:
                self._remember_deleted(digest)
        for column in (self._deleted, self._available, self.published_at, self._arrived_at):
            column[rows] = 0
        self._counted[:, rows] = False
        self.categories[rows] = 0
        self.has_item[rows] = False

    def release(self, rows: I64) -> None:
        """Give retired rows to new items from now on."""
        self._free_rows += rows.tolist()
        used = np.bincount(self.categories.ravel()) > 0
        for name in [
            name for name, number in self._category_numbers.items() if number >= len(used) or not used[number]
        ]:
            self._free_categories.append(self._category_numbers.pop(name))

    def row_of_hash(self, crc32: int) -> int | None:
        """The row of the item whose id has this CRC-32, or None for an unknown item."""
        return self._rows_of_hash.get(crc32)

    def row_of_digest(self, digest: int) -> int | None:
        """The row of the item whose id has this digest (little-endian), or None for an unknown item."""
        return self._rows_of_digest.get(digest)

    def apply(self, record: Item, arrived_at: int = 0) -> int:
        """Apply an `item` record that Kafka received at `arrived_at` (milliseconds, 0 if unknown), and return its row."""
        row = self.ensure_row(record["item_id"])
        if not self.published[row]:
            self._arrived_at[row] = arrived_at
        self.published[row] = True
        self._deleted[row] = False
        self.published_at[row] = record["published_at"] or 0
        self._last_publication = max(self._last_publication, record["published_at"] or 0)
        self._allow_in(row, record["scenarios"], record["available"])
        self._set_categories(row, record["categories"])
        self._set_words(row, words_of(" ".join([record["title"], *record["categories"]])))
        return row

    def withdraw(self, item_id: str) -> None:
        """Make a deleted item ineligible in all scenarios, until it is published again."""
        row = self.find(item_id)
        if row == PADDING_ROW:
            self._remember_deleted(_digest(item_id))
            return
        self.published[row] = False
        self._deleted[row] = True
        self._available[row] = False
        self._named_scenarios.pop(row, None)
        self._set_words(row, frozenset())
        for scenario in self._scenario_ids.values():
            self._publish_in(row, scenario, False)
            self._allow(row, scenario, False)

    def begin_catalogues(self, names: Sequence[str]) -> None:
        """Note that an item was published for these scenarios, for all if there are none: counts alone suffice there no more, even if
        nothing of the catalogue is left."""
        for name, scenario in self._scenario_ids.items():
            if not names or name in names:
                self._begin_catalogue(scenario)

    def unpublished_at(self, time: int) -> I32:
        """The rows with a publication time after `time`, ascending."""
        after = max(time, 0)  # 0 stands for no publication time
        if self._last_publication <= after:
            return _NO_ROWS
        return np.flatnonzero(self.published_at[: len(self)] > after).astype(np.int32)

    def born_at(self, rows: I64, first_at: I64) -> I64:
        """Since when items of `rows` exist: the earlier one of first interaction (`first_at`, 0 for none) and publication, or arrival for
        an item without a publication time; 0 if nothing is known. The arrival of a back-filled item may be later than requests."""
        published = self.published_at[rows]
        published = np.where(published != 0, published, self._arrived_at[rows])
        both = np.minimum(first_at, published)
        return np.where(both > 0, both, np.maximum(first_at, published))

    def is_withheld(self, row: int, scenario: int) -> bool:
        """Whether the item must not be recommended in the scenario although a request names it: it is unavailable or deleted, or not
        published in a scenario that has a catalogue (PADDING_ROW for an unknown item)."""
        ruled = self.published[row] or self._deleted[row] or not self._allows_counted(scenario)
        return bool(ruled and not self.eligible[scenario, row])

    def are_gone(self, rows: I64, scenarios: I64) -> Bool:
        """Which items of `rows` [N, ...] are deleted, or not published in `scenarios` [N] with a catalogue: they explain nothing."""
        strict = np.array([not self._allows_counted(scenario) for scenario in scenarios.tolist()], bool)
        gone: Bool = self._deleted[rows] | (strict.reshape(-1, *[1] * (rows.ndim - 1)) & ~self.published[rows])
        return gone

    def allow_counted(self, row: int, scenarios: Iterable[int]) -> None:
        """Make an item that is not published eligible in the scenarios in which it has counts, as far as they allow it."""
        for scenario in scenarios:
            self._counted[scenario, row] = True
            if not self.published[row]:
                self._allow(row, scenario, self._allows_counted(scenario) and not self._deleted[row])

    def disallow_uncounted(self, row: int) -> None:
        """Make an item that is not published ineligible everywhere: its counts were deleted."""
        self._counted[:, row] = False
        if not self.published[row]:
            for scenario in self._scenario_ids.values():
                self._allow(row, scenario, False)

    def unpublished_counts(self) -> dict[str, int]:
        """By scenario, the number of items with counts that are not recommended because they are not published."""
        unpublished = self._counted & ~self.published
        return {
            name: int((unpublished[scenario] & ~self.eligible[scenario]).sum())
            for name, scenario in self._scenario_ids.items()
        }

    def take_changed(self) -> list[int]:
        """The rows whose eligibility changed because another item was published or deleted, since the last call."""
        changed, self._changed = self._changed, []
        return changed

    def word_matches(self, query: str) -> dict[int, int]:
        """Rows whose title or categories share words with `query` (eddy.words), and the number of shared words."""
        matches: dict[int, int] = {}
        for word in query_words(query):
            for row in self._rows_of_word.get(word, ()):
                matches[row] = matches.get(row, 0) + 1
        return matches

    def _add(self, item_id: str) -> int:
        if not item_id:
            raise PoisonError("missing_item", "item_id is empty. Every item has an id.")
        self.additions += 1
        digest = _digest(item_id)
        row = self._free_rows.pop() if self._free_rows else len(self.ids)
        if row == len(self.ids):
            self.ids.append(item_id)
        self.ids[row] = item_id
        self.has_item = grown(self.has_item, row + 1, False)
        self.has_item[row] = True
        self._rows[item_id] = row
        self._rows_of_hash.setdefault(zlib.crc32(item_id.encode()), row)
        self._rows_of_digest[digest] = row
        self.eligible = grown(self.eligible, row + 1, False)
        self.published = grown(self.published, row + 1, False)
        self._deleted = grown(self._deleted, row + 1, False)
        self._counted = grown(self._counted, row + 1, False)
        self._available = grown(self._available, row + 1, False)
        self.published_at = grown(self.published_at, row + 1)
        self._arrived_at = grown(self._arrived_at, row + 1)
        self.categories = grown_rows(self.categories, row + 1)
        if digest in self._deleted_digests:
            del self._deleted_digests[digest]
            self._deleted[row] = True
        return row

    def _remember_deleted(self, digest: int) -> None:
        self._deleted_digests.pop(digest, None)
        self._deleted_digests[digest] = None
        if len(self._deleted_digests) > MAX_DELETED:
            del self._deleted_digests[next(iter(self._deleted_digests))]

    def _allow_in(self, row: int, names: list[str], available: bool) -> None:
        """Set the scenarios of an item, all if `names` is empty. It is eligible if available, or if the scenario does not filter that."""
        self._available[row] = available
        self._named_scenarios.pop(row, None)
        if names:
            self._named_scenarios[row] = names
        for name, scenario in self._scenario_ids.items():
            inside = not names or name in names
            self._publish_in(row, scenario, inside)
            self._allow(row, scenario, inside and (available or scenario in self._unfiltered_scenarios))

    def _add_scenario(self, name: str, scenario: Scenario) -> None:
        inside = self.published.copy()
        inside[[row for row, names in self._named_scenarios.items() if name not in names]] = False
        if inside.any():
            self._with_catalogue.add(scenario.id)
        if not scenario.published_only:
            self._counted_too.add(scenario.id)
        if "unavailable" in scenario.filters:
            inside &= self._available
        else:
            self._unfiltered_scenarios.add(scenario.id)
        rows = np.flatnonzero(inside)
        self.eligible[scenario.id, rows] = True
        self.eligible_count[scenario.id] = len(rows)

    def _allows_counted(self, scenario: int) -> bool:
        return scenario in self._counted_too or scenario not in self._with_catalogue

    def _publish_in(self, row: int, scenario: int, published: bool) -> None:
        """Set whether an item is published for a scenario. With the first one, counts alone make no other item eligible any more."""
        if published:
            self._begin_catalogue(scenario)

    def _begin_catalogue(self, scenario: int) -> None:
        if scenario in self._with_catalogue:
            return
        self._with_catalogue.add(scenario)
        if not self._allows_counted(scenario):
            rows = np.flatnonzero(self._counted[scenario] & ~self.published & ~self._deleted).tolist()
            for counted in rows:
                self._allow(counted, scenario, False)
            self._changed += rows

    def _allow(self, row: int, scenario: int, allowed: bool) -> None:
        self.eligible_count[scenario] += int(allowed) - int(self.eligible[scenario, row])
        self.eligible[scenario, row] = allowed

    def _set_categories(self, row: int, categories: list[str]) -> None:
        numbers = self._category_numbers
        # Number 0 means no category.
        names = list(dict.fromkeys(map(normalise, categories)))[:MAX_CATEGORIES]
        for name in names:
            if name not in numbers:
                numbers[name] = self._free_categories.pop() if self._free_categories else len(numbers) + 1
        kept = [numbers[name] for name in names]
        self.categories[row] = kept + [0] * (MAX_CATEGORIES - len(kept))
        self.max_categories_used = max(self.max_categories_used, len(kept))

    def _set_words(self, row: int, words: frozenset[str]) -> None:
        former = self._words.get(row, frozenset())
        for word in former - words:
            rows = self._rows_of_word[word]
            rows.discard(row)
            if not rows:
                del self._rows_of_word[word]
        for word in words - former:
            self._rows_of_word.setdefault(word, set()).add(row)
        if words:
            self._words[row] = words
        else:
            self._words.pop(row, None)


def _digest(item_id: str) -> int:
    return int.from_bytes(digest_of(item_id), "little")
