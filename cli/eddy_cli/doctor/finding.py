"""One line of the doctor's."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`note` is for what is optional, or could not be checked: it makes nothing wrong."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was seen there, and how to mend it where it is not ok."""

    verdict: Verdict
    name: str
    seen: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:<5}  {self.name:<9}  {self.seen}{f'. {self.mend}' if self.mend else ''}"


def ok(name: str, seen: str) -> Finding:
    return Finding(Verdict.OK, name, seen)


def note(name: str, seen: str, mend: str = "") -> Finding:
    return Finding(Verdict.NOTE, name, seen, mend)


def wrong(name: str, seen: str, mend: str) -> Finding:
    return Finding(Verdict.WRONG, name, seen, mend)
