"""The `dead_letter` record of an input that cannot be used."""

from eddy.contract.limits import MAX_REQUEST_BYTES
from eddy.contract.message import Message
from eddy.contract.records import DeadLetter
from eddy.errors import PoisonError

MAX_PAYLOAD_BYTES = MAX_REQUEST_BYTES - 64 * 1024  # of the payload: the rest of the record has to fit beside it


def dead_letter_of(message: Message, error: PoisonError, service: str, full_topic: str, at_ms: int) -> DeadLetter:
    """The `dead_letter` record of a message that cannot be used: of one that compression let grow, its first MAX_PAYLOAD_BYTES."""
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
