"""Applies batches of user events to user states, and derives the signals for items. No Kafka, no clock."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from eddy.contract.avro.arrays import pack_array
from eddy.contract.avro.values import FALSE, NULL, SOME, TRUE, pack_float, pack_long, pack_name
from eddy.contract.codec import frozen_header
from eddy.contract.erasure import erased_id
from eddy.contract.message import Message
from eddy.contract.scenarios import IMPRESSION
from eddy.contract.topics import RENUMBERED
from eddy.contract.trust import LogAge
from eddy.errors import DecodeError, FatalError, PoisonError
from eddy_features.core.cleaning import Cleaner, CleanEvent
from eddy_features.core.precedence import user_times
from eddy_features.core.slates import ServedSlates
from eddy_features.core.states import StateCache, StateRecords
from eddy_features.core.user_state import Update, UpdateResult, UserPolicy, UserState

SIGNALS_BYTES = 256 * 1024
_HEADER = frozen_header("item_signals", 6)  # the field order of `_signals` and `_signal`


class RenumberedError(FatalError):
    """The offsets of a log were renumbered: the states are those of another log, and would take its events for old ones."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: the topic was created again, restored or moved. {RENUMBERED}")


@dataclass(slots=True)
class UserBatch:
    """Result of a batch. Publish `signals` (key, record) first, then `users` (key, record) to `partition`.

    The record of an erased user is None. `erased` is their number.
    """

    partition: int
    signals: list[tuple[bytes, bytes]] = field(default_factory=list)
    users: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    poison: list[tuple[Message, PoisonError]] = field(default_factory=list)
    applied: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    erased: int = 0


class UserUpdater:
    """Applies batches of user events, one source partition each, in offset order."""

    def __init__(
        self,
        cleaner: Cleaner,
        policy: UserPolicy,
        records: StateRecords,
        decoded_users: int,
        slates: ServedSlates | None = None,
        log_id: bytes = b"",
    ) -> None:
        """`slates` has the slates that were served before the events of a batch; `log_id` is the topic id of `user-events`, if known."""
        self._log_id = log_id
        self._clean = cleaner
        self._slates = ServedSlates() if slates is None else slates
        self._policy = policy
        self._logs: dict[int, LogAge] = {}  # by partition
        self.states = StateCache(records, UserState.decode, UserState, decoded_users)

    def apply(self, partition: int, messages: list[Message], end: int | None = None) -> UserBatch:
        """Include `messages`. Events that the states already include change nothing and give no signal. A tombstone erases the user of its
        key: the state has the events after it only.

        Raises RenumberedError for a state of a log with another id, or that includes an event beyond the `end` offset of the log.
        """
        batch = UserBatch(partition)
        touched: dict[bytes, UserState] = {}
        entries: dict[str, list[bytes]] = {}
        for message in messages:
            try:
                event = None if message.tombstone else self._clean(message)
                key = erased_id(message, self._clean.partition_of).encode() if event is None else message.key or b""
            except PoisonError as error:
                batch.poison.append((message, error))
                continue
            state = touched.get(key)
            if state is None:
                state = self.states.take(partition, key)
                self._check_log(state, end)
            if event is None:
                if message.offset > state.applied_offset:
                    touched[key] = self.states.renew(partition, key)
                    self._slates.forget(key.decode(), message.timestamp_ms)
                    batch.erased += 1
            elif self._include(event, key.decode(), state, batch, entries):
                touched[key] = state
        batch.signals = [
            (item_id.encode(), _signals(item_id, partition, part))
            for item_id, packed in entries.items()
            for part in _split_by_size(packed)
        ]
        for state in touched.values():
            state.log_id = self._log_id or state.log_id
        batch.users = [(key, None if state.is_new else state.encode(key.decode())) for key, state in touched.items()]
        return batch

    def take_over(self, partition: int, records: Iterable[bytes]) -> None:
        """Learn the age of a partition's log from all recovered `records`, so that users are known as without a restart."""
        log = self._logs[partition] = LogAge()
        for times in filter(None, map(user_times, records)):
            log.advance(times[0])
            log.include(times[1])

    def check_record(self, record: bytes) -> None:
        """Raise RenumberedError for a record of a log with another id. Unreadable records are left to `apply`."""
        try:
            self._check_log(UserState.decode(record), None)
        except DecodeError:
            return

    def _check_log(self, state: UserState, end: int | None) -> None:
        if self._log_id and state.log_id not in (b"", self._log_id):
            raise RenumberedError("a user includes events of another topic user-events than the present one")
        if end is not None and state.applied_offset >= end:
            raise RenumberedError(
                f"a user has the event at offset {state.applied_offset} of user-events, which ends at {end}"
            )

    def _include(
        self, event: CleanEvent, user_id: str, state: UserState, batch: UserBatch, entries: dict[str, list[bytes]]
    ) -> bool:
        """Apply one event; returns whether the state changed."""
        log = self._logs.setdefault(batch.partition, LogAge())
        update = state.apply(event, self._policy, log)
        if update.result is UpdateResult.APPLIED:
            batch.applied[event.label] += 1
            if event.action == IMPRESSION:
                self._show(event, user_id, state, update.known, log.young, entries)
            elif event.item_id is not None and not event.reversal:
                entries.setdefault(event.item_id, []).append(_signal(event, update, event.scenario, log.young))
        elif update.result is UpdateResult.DUPLICATE:
            batch.duplicates += 1
        return update.result is not UpdateResult.ALREADY_APPLIED

    def _show(
        self,
        event: CleanEvent,
        user_id: str,
        state: UserState,
        known: float,
        young: bool,
        entries: dict[str, list[bytes]],
    ) -> None:
        """Count an impression for the items of its slate that it reports and that had not been shown, in the slate's scenario."""
        slate = None if event.request_id is None else self._slates.find(user_id, event.request_id)
        if slate is None or event.request_id is None:
            return
        shown = Update(UpdateResult.APPLIED, known=known)
        positions = [
            position
            for position, item_id in enumerate(slate.items)
            if event.item_id is None or item_id == event.item_id
        ]
        for position in state.shown.add(event.request_id, positions) if positions else ():
            entries.setdefault(slate.items[position], []).append(_signal(event, shown, slate.scenario, young))


def _signal(event: CleanEvent, update: Update, scenario: str, young: bool) -> bytes:
    """Pack an entry of `item_signals`."""
    return b"".join(
        [
            pack_long(event.offset),
            pack_long(event.occurred_at),
            pack_name(scenario),
            pack_name(event.action),
            pack_array(len(update.previous), b"".join(update.previous)),
            NULL if update.value is None else SOME + pack_float(update.value),
            pack_float(update.repeats),
            NULL if update.former_value is None else SOME + pack_float(update.former_value),
            pack_float(update.known),
            TRUE if event.positive else FALSE,
            TRUE if young else FALSE,
        ]
    )


def _split_by_size(entries: list[bytes]) -> Iterator[list[bytes]]:
    """Split entries, in order, into parts of about SIGNALS_BYTES, so that no record exceeds the maximum message size of the topic."""
    part: list[bytes] = []
    size = 0
    for entry in entries:
        if part and size + len(entry) > SIGNALS_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += len(entry)
    yield part


def _signals(item_id: str, partition: int, entries: list[bytes]) -> bytes:
    """Return an `item_signals` record in the single-object encoding."""
    return b"".join(
        [
            _HEADER,
            pack_name(item_id),
            pack_long(partition),
            pack_array(len(entries), b"".join(entries)),
        ]
    )
