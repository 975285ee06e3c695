"""Times in the schemas of other writers: Avro's logical types, converted to the milliseconds of Eddy's own schemas."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

# Milliseconds of a unit, as a fraction. Local timestamps are read as UTC.
_UNITS = {
    "timestamp-millis": (1, 1),
    "timestamp-micros": (1, 1_000),
    "timestamp-nanos": (1, 1_000_000),
    "local-timestamp-millis": (1, 1),
    "local-timestamp-micros": (1, 1_000),
    "local-timestamp-nanos": (1, 1_000_000),
    "date": (86_400_000, 1),
}
_NUMBERS = ("int", "long")


class WriterTimes(NamedTuple):
    """The time fields of a writer's schema: the fraction that turns each into milliseconds, and why records are unusable, if they are."""

    units: Mapping[str, tuple[int, int]]
    refusal: str = ""

    @property
    def plain(self) -> bool:
        """Whether records are usable as they are."""
        return not self.units and not self.refusal

    def key(self) -> bytes:
        """Tells these times apart from others of an otherwise equal schema."""
        return json.dumps([dict(self.units), self.refusal], sort_keys=True).encode()

    def convert(self, record: dict[str, Any]) -> None:
        """Convert the times of a decoded record to milliseconds, rounded down."""
        for field, (numerator, denominator) in self.units.items():
            if record.get(field) is not None:
                record[field] = record[field] * numerator // denominator


def writer_times(writer: Mapping[str, Any], own: Mapping[str, Any]) -> WriterTimes:
    """The times of a writer's record schema, among the fields that are numbers in Eddy's `own` schema."""
    units: dict[str, tuple[int, int]] = {}
    numbers = {field["name"] for field in own["fields"] if _branches(field["type"]) & set(_NUMBERS)}
    for field in writer["fields"]:
        name = field["name"]
        if name not in numbers:
            continue
        if "string" in _branches(field["type"]) and name.endswith("_at"):
            return WriterTimes({}, f"{name} is a string in the writer's schema. Use a long, {_ADVICE}.")
        logical = _logical_type(field)
        if logical is None:
            continue
        if logical not in _UNITS:
            return WriterTimes({}, f"{name} has the logical type {logical} in the writer's schema. Use {_ADVICE}.")
        if _UNITS[logical] != (1, 1):
            units[name] = _UNITS[logical]
    return WriterTimes(units)


_ADVICE = "milliseconds since the epoch (timestamp-millis) or another timestamp type"


def _branches(kind: Any) -> set[str]:
    """The names of the types of a field; a union has several."""
    if isinstance(kind, list):
        return set().union(*map(_branches, kind))
    return _branches(kind["type"]) if isinstance(kind, dict) else {kind}


def _logical_type(field: Mapping[str, Any]) -> str | None:
    """The logical type of a number; Avro has it inside of the type, and many schemas have it beside the type."""
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    for kind in [*kinds, field]:
        if isinstance(kind, dict) and "logicalType" in kind and _branches(kind["type"]) & set(_NUMBERS):
            return str(kind["logicalType"])
    return None
