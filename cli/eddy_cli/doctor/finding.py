"""The result of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The kind of a finding. A note is about something optional, or not checked; it is not a problem."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """The name of a check, its observation, and the remedy for a problem."""

    verdict: Verdict
    name: str
    observation: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:<5}  {self.name:<9}  {self.observation}{f'. {self.remedy}' if self.remedy else ''}"


def ok(name: str, observation: str) -> Finding:
    return Finding(Verdict.OK, name, observation)


def note(name: str, observation: str, remedy: str = "") -> Finding:
    return Finding(Verdict.NOTE, name, observation, remedy)


def wrong(name: str, observation: str, remedy: str) -> Finding:
    return Finding(Verdict.WRONG, name, observation, remedy)
