"""Checks of single fields that events, items and requests share. Each raises PoisonError with the reason, the field and the mend."""

from collections.abc import Collection, Iterable, Mapping

from eddy.contract.limits import MAX_AHEAD_MS, MAX_ATTRIBUTES, MAX_ID_CHARS, MAX_TEXT_CHARS, MAX_TIME_MS
from eddy.errors import PoisonError

_SHOWN_CHARS = 64


def quoted(text: str) -> str:
    """`text` in quotes, cut where it is long: for a message that a person reads."""
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}...")


def check_user(user_id: str, key: bytes | None) -> None:
    """A record names its user, and stands under the user's key: on the partition where all of the user's records are."""
    if not user_id:
        raise PoisonError("missing_user", "user_id is empty. Every record names its user.", "user_id")
    check_key("user_id", user_id, key)
    check_length("user_id", user_id)


def check_key(field: str, name: str, key: bytes | None) -> None:
    """The message key is the id that the record carries."""
    if key != name.encode():
        raise PoisonError(
            "wrong_key", f"the message key is not the {field} {quoted(name)}. Use the {field} as the key.", field
        )


def check_length(field: str, text: str, most: int = MAX_ID_CHARS) -> None:
    """At most `most` characters."""
    if len(text) > most:
        raise PoisonError("too_long", f"{field} has {len(text)} characters; the maximum is {most}. Shorten it.", field)


def check_count(field: str, values: Collection[object], most: int) -> None:
    """At most `most` values."""
    if len(values) > most:
        raise PoisonError(
            "too_long", f"{field} has {len(values)} entries; the maximum is {most}. Leave some out.", field
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
            said = f"attribute {quoted(name)} has {len(value)} characters; the maximum is {MAX_TEXT_CHARS}. Shorten it."
            raise PoisonError("too_long", said, "attributes")


def check_range(field: str, number: int, least: int, most: int) -> None:
    """From `least` to `most`."""
    if not least <= number <= most:
        raise PoisonError("out_of_range", f"{field} is {number}. Use {least} to {most}.", field)


def check_time(field: str, at_ms: int, appended_ms: int) -> None:
    """Milliseconds since the epoch, at most MAX_AHEAD_MS ahead of the append time."""
    if at_ms > appended_ms + MAX_AHEAD_MS:
        said = f"{field} is {at_ms - appended_ms} ms ahead of now; the maximum is one day. Use milliseconds since the epoch."
        raise PoisonError("timestamp_ahead", said, field)
    check_range(field, at_ms, 0, MAX_TIME_MS)


def unknown_scenario(name: str, known: Iterable[str], field: str = "scenario") -> PoisonError:
    """The error about a scenario that scenarios.yaml does not have."""
    said = f"unknown scenario {quoted(name)}. Use one of: {', '.join(known)}; or add it to scenarios.yaml."
    return PoisonError("unknown_scenario", said, field)


def _refuse_name(field: str, name: str) -> None:
    if not name:
        raise PoisonError("empty_name", f"{field} has an empty name. Leave it out.", field)
    said = f"a name in {field} has {len(name)} characters; the maximum is {MAX_ID_CHARS}. Shorten it."
    raise PoisonError("too_long", said, field)
