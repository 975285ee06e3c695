"""Field checks shared by events, items and requests. Each raises PoisonError with the reason, the field and what to do."""

from collections.abc import Callable, Collection, Iterable, Mapping

from eddy.contract.limits import (
    MAX_AHEAD_MS,
    MAX_ATTRIBUTES,
    MAX_ID_CHARS,
    MAX_PUBLISHED_MS,
    MAX_TEXT_CHARS,
    MAX_UTC_OFFSET_MS,
    MIN_EVENT_MS,
    MIN_PUBLISHED_MAGNITUDE,
    MIN_PUBLISHED_MS,
    UTC_OFFSET_STEP_MS,
)
from eddy.contract.message import Message
from eddy.errors import PoisonError

# The partition of a key by Kafka's default partitioner.
PartitionOf = Callable[[bytes], int]

_QUOTED_CHARS = 64


def quoted(text: str) -> str:
    """`text` in quotes for an error message, cut to _QUOTED_CHARS characters."""
    return repr(text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS]}...")


def check_user(user_id: str, key: bytes | None) -> None:
    """A record has a user id, and uses it as the message key, so that all records of a user are in one partition."""
    if not user_id:
        raise PoisonError("missing_user", "user_id is empty. Every record needs a user id.", "user_id")
    check_key("user_id", user_id, key)
    check_length("user_id", user_id)


def check_key(field: str, name: str, key: bytes | None) -> None:
    """The message key equals the id in the record. The error does not name the id: it is logged, and logs cannot be erased."""
    if key != name.encode():
        raise PoisonError(
            "wrong_key", f"the message key is not the {field} of the record. Use the {field} as the key.", field
        )


def check_partition(message: Message, partition_of: PartitionOf | None) -> None:
    """The record is in the partition of its key, where its other records are. Not checked without `partition_of`: outside of Kafka."""
    if partition_of is None or message.key is None:
        return
    expected = partition_of(message.key)
    if message.partition != expected:
        raise PoisonError(
            "wrong_partition",
            f"the message key belongs in partition {expected}, not {message.partition}. "
            "Publish with the partitioner murmur2 (librdkafka: partitioner=murmur2_random), and without a partition of your own.",
        )


def check_length(field: str, text: str, maximum: int = MAX_ID_CHARS) -> None:
    """At most `maximum` characters."""
    if len(text) > maximum:
        raise PoisonError(
            "too_long", f"{field} has {len(text)} characters; the maximum is {maximum}. Shorten it.", field
        )


def check_count(field: str, values: Collection[object], maximum: int) -> None:
    """At most `maximum` values."""
    if len(values) > maximum:
        raise PoisonError(
            "too_long", f"{field} has {len(values)} entries; the maximum is {maximum}. Send fewer.", field
        )


def check_names(field: str, names: Iterable[str]) -> None:
    """Each name has 1 to MAX_ID_CHARS characters."""
    for name in names:
        if not 0 < len(name) <= MAX_ID_CHARS:
            _refuse_name(field, name)


def check_attributes(attributes: Mapping[str, str]) -> None:
    """At most MAX_ATTRIBUTES, each with a name and a value of bounded length."""
    check_count("attributes", attributes, MAX_ATTRIBUTES)
    check_names("attributes", attributes)
    for name, value in attributes.items():
        if len(value) > MAX_TEXT_CHARS:
            message = (
                f"attribute {quoted(name)} has {len(value)} characters; the maximum is {MAX_TEXT_CHARS}. Shorten it."
            )
            raise PoisonError("too_long", message, "attributes")


def check_range(field: str, number: int, minimum: int, maximum: int) -> None:
    """From `minimum` to `maximum`."""
    if not minimum <= number <= maximum:
        raise PoisonError("out_of_range", f"{field} is {number}. Use {minimum} to {maximum}.", field)


def check_time(field: str, at_ms: int, appended_ms: int) -> None:
    """The time of an event or request, in milliseconds since the epoch: from MIN_EVENT_MS to MAX_AHEAD_MS ahead of the append time."""
    if at_ms > appended_ms + MAX_AHEAD_MS:
        message = f"{field} is {at_ms - appended_ms} ms ahead of now; the maximum is one day. Use milliseconds since the epoch."
        raise PoisonError("timestamp_ahead", message, field)
    if at_ms < MIN_EVENT_MS:
        _refuse_unit(field, at_ms, "before March 1973")


def check_publication_time(field: str, at_ms: int) -> None:
    """The publication time of an item, in milliseconds since the epoch: from 1653 to 2286, but not within the months around New Year 1970,
    where times in other units would be."""
    is_new_year = abs(at_ms) <= MAX_UTC_OFFSET_MS and not at_ms % UTC_OFFSET_STEP_MS
    if abs(at_ms) < MIN_PUBLISHED_MAGNITUDE and not is_new_year:
        _refuse_unit(field, at_ms, "within months of 1970")
    if not MIN_PUBLISHED_MS <= at_ms <= MAX_PUBLISHED_MS:
        _refuse_unit(field, at_ms, "further from 1970 than 316 years")


def _refuse_unit(field: str, at_ms: int, when: str) -> None:
    message = f"{field} is {at_ms}, which is {when}. Use milliseconds since the epoch, not another unit."
    raise PoisonError("out_of_range", message, field)


def unknown_scenario(name: str, known_scenarios: Iterable[str], field: str = "scenario") -> PoisonError:
    """The error for a scenario that is not in scenarios.yaml."""
    message = f"unknown scenario {quoted(name)}. Use one of: {', '.join(known_scenarios)}; or add it to scenarios.yaml."
    return PoisonError("unknown_scenario", message, field)


def _refuse_name(field: str, name: str) -> None:
    if not name:
        raise PoisonError("empty_name", f"{field} contains an empty name or id. Remove it.", field)
    message = f"a name or id in {field} has {len(name)} characters; the maximum is {MAX_ID_CHARS}. Shorten it."
    raise PoisonError("too_long", message, field)
