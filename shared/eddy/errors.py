"""The errors of Eddy, by what has to be done about them.

EddyError
|-- ConfigError        wrong settings or scenarios: fix them and start again
|-- FatalError         cannot go on: the process exits non-zero with one line
|-- RetriableError     a dependency is away: try again
`-- PoisonError        this one input cannot be used: dead-letter it with the reason, go on
    `-- DecodeError    ... because its bytes are not the record they should be
"""


class EddyError(Exception):
    """Root of all errors that Eddy raises on purpose."""


class ConfigError(EddyError):
    """Settings or scenarios do not hold; the message says which, where and what to do."""


class FatalError(EddyError):
    """The process cannot go on; the message is one line that says what to do."""


class RetriableError(EddyError):
    """A dependency is away for now."""


class PoisonError(EddyError):
    """An input that cannot be used.

    `reason` is from the closed set that the dead-letter metric is labelled with (eddy.contract.reasons). `detail` is for a person: what is
    wrong, what was expected, what to do. `field` is the field of the record that it is about, None where it is about all of it.
    """

    def __init__(self, reason: str, detail: str = "", field: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.field = field


class DecodeError(PoisonError):
    """Bytes that are not an Avro record of the expected kind."""

    def __init__(self, detail: str) -> None:
        super().__init__("undecodable", detail)
