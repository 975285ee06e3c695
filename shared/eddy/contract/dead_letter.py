"""The `dead_letter` record of an unusable message."""

from eddy.contract.limits import MAX_REQUEST_BYTES
from eddy.contract.message import Message
from eddy.contract.records import DeadLetter
from eddy.errors import PoisonError

MAX_PAYLOAD_BYTES = MAX_REQUEST_BYTES - 64 * 1024  # leaves room for the other fields of the record


def dead_letter_of(message: Message, error: PoisonError, service: str, full_topic: str, at_ms: int) -> DeadLetter:
    """The `dead_letter` record of a message. Of a larger payload (compression allows it) the first MAX_PAYLOAD_BYTES are kept."""
    return {
        "source_topic": full_topic,
        "source_partition": message.partition,
        "source_offset": message.offset,
        "key": message.key,
        "payload": message.value and message.value[:MAX_PAYLOAD_BYTES],
        "reason": error.reason,
        "detail": error.detail[:1000],
        "service": service,
        "at": at_ms,
    }
