"""Applies batches of item signals to item states. No Kafka, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from eddy.contract.codec import Codec
from eddy.contract.limits import MAX_ID_CHARS
from eddy.contract.message import Message
from eddy.contract.records import ItemSignal, ItemSignals
from eddy.contract.scenarios import IMPRESSION
from eddy.errors import PoisonError
from eddy_features.core.item_state import ItemRules, ItemState, Signal
from eddy_features.core.states import StateCache, StateRecords
from eddy_features.core.unwritten_items import Change

MAX_PREVIOUS = 1000


@dataclass(slots=True)
class ItemBatch:
    """Result of a batch: the items of `partition` that it changed, in the order of their first change, and the unusable messages."""

    partition: int
    changes: dict[bytes, Change] = field(default_factory=dict)
    poison: list[tuple[Message, PoisonError]] = field(default_factory=list)
    erased: int = 0

    def note(self, key: bytes, offset: int, *, only_shown: bool) -> None:
        """Note that the message at `offset` changed an item."""
        former = self.changes.get(key, Change(offset, True))
        self.changes[key] = Change(former.offset, former.only_shown and only_shown)


class ItemUpdater:
    """Applies batches of item signals, one partition each, in offset order.

    Write the records of changed items, now or after further batches. Only then may `states` drop them.
    """

    def __init__(self, rules: ItemRules, records: StateRecords, decoded_items: int) -> None:
        self._rules = rules
        self._signals_codec = Codec.of(ItemSignals)
        self.states = StateCache(records, ItemState.decode, ItemState, decoded_items)

    def apply(self, partition: int, messages: list[Message]) -> ItemBatch:
        """Include `messages`. Entries that the states already include change nothing. A tombstone erases the item of its key."""
        batch = ItemBatch(partition)
        for message in messages:
            if message.tombstone:
                self.states.renew(partition, message.key or b"")
                batch.note(message.key or b"", message.offset, only_shown=False)
                batch.erased += 1
                continue
            try:
                source, signals, error_of_entry = self._signals(message)
            except PoisonError as error:
                batch.poison.append((message, error))
                continue
            if error_of_entry:
                batch.poison.append((message, error_of_entry))
            key = message.key or b""
            state = self.states.take(partition, key)
            applied = [signal for signal in signals if state.apply(source, signal, self._rules)]
            if applied:
                only_shown = all(signal.action == IMPRESSION for signal in applied)
                batch.note(key, message.offset, only_shown=only_shown)
        return batch

    def records(self, partition: int, keys: Iterable[bytes]) -> list[tuple[bytes, bytes | None]]:
        """Return keys and `item_features` records, to be written to `partition`, the partition of the signals; None for an erased item."""
        states = [(key, self.states.take(partition, key)) for key in keys]
        return [(key, state.encode(key.decode()) if state.applied else None) for key, state in states]

    def _signals(self, message: Message) -> tuple[int, list[Signal], PoisonError | None]:
        """Return the source partition, the usable entries, and the error of the last unusable one."""
        record = self._signals_codec.decode(message.value)
        if message.key is None or message.key != record["item_id"].encode():
            raise PoisonError("wrong_key", "the message key is not the item_id")
        signals, last_error = [], None
        for entry in record["entries"]:
            try:
                signals.append(self._signal(entry))
            except PoisonError as error:
                last_error = error
        return record["source_partition"], signals, last_error

    def _signal(self, entry: ItemSignal) -> Signal:
        if not self._rules.has_scenario(entry["scenario"]):
            raise PoisonError("unknown_scenario", entry["scenario"][:MAX_ID_CHARS])
        if len(entry["previous"]) > MAX_PREVIOUS:
            raise PoisonError("too_long", f"{len(entry['previous'])} previous items; the maximum is {MAX_PREVIOUS}")
        for name in ("value", "former_value"):
            if (value := entry[name]) is not None and not 0 <= value <= 1:
                raise PoisonError("bad_features", f"{name} {value} is not within 0..1")
        if not 0 <= entry["repeats"] < inf:
            raise PoisonError("bad_features", f"repeats {entry['repeats']} is negative or not finite")
        if not 0 <= entry["known"] <= 1:
            raise PoisonError("bad_features", f"known {entry['known']} is not within 0..1")
        return Signal(
            entry["offset"],
            entry["at"],
            entry["scenario"],
            entry["action"],
            entry["previous"],
            entry["value"],
            entry["repeats"],
            entry["former_value"],
            entry["known"],
            entry["positive"],
            entry["young"],
        )
