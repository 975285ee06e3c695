"""The errors of Eddy, by how to handle them.

EddyError
|-- ConfigError        invalid settings or scenarios: correct them and start again
|-- FatalError         the process exits non-zero with one line
|-- RetriableError     a dependency is unavailable: try again
`-- PoisonError        one unusable input: write it to dead-letters with the reason, continue
    `-- DecodeError    its bytes are not a record of the expected kind
"""


class EddyError(Exception):
    """Base class of all errors of Eddy."""


class ConfigError(EddyError):
    """Invalid settings or scenarios; the message says what is wrong, where, and what to do."""


class FatalError(EddyError):
    """An error that ends the process; the message is one line that says what to do."""


class RetriableError(EddyError):
    """A dependency is temporarily unavailable."""


class PoisonError(EddyError):
    """An unusable input.

    `reason` is from a closed set (eddy.contract.reasons), the label of the dead-letter metric. `detail` tells people what is wrong, what
    was expected and what to do. `field` is the invalid field of the record; None if the record as a whole is invalid.
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
