"""Checks at the start that events which the gateway accepts will be applied."""

from eddy.contract.codec import Codec
from eddy.contract.topics import RENUMBERED, USER_EVENTS, USER_FEATURES
from eddy.errors import DecodeError, FatalError
from eddy.kafka.bus import Bus

# The newest records of each partition that are looked at: more than the markers of transactions and tombstones that may end it.
_NEWEST = 200


async def check_events_log(bus: Bus) -> None:
    """Raise FatalError if users include events of a former topic `user-events`: the features service refuses the present one, so that
    events would be stored there and never applied. While the gateway runs, `Bus.watch_topics` finds out."""
    present = bus.topic_id(USER_EVENTS)
    if not present:  # a broker older than Kafka 2.8
        return
    codec = Codec.for_topic(USER_FEATURES)
    async with bus.reader(bus.topic_partitions(USER_FEATURES)) as reader:
        ends = await reader.end_offsets()
        for partition, end in ends.items():
            reader.seek(partition, max(end - _NEWEST, 0))
        while not await reader.at_end(ends):
            for message in await reader.batch():
                try:
                    log_id = codec.decode(message.value)["log_id"] if message.value else b""
                except DecodeError:  # its readers count and skip it
                    continue
                if log_id not in (b"", present):
                    raise FatalError(
                        f"users include events of another topic {bus.full_name(USER_EVENTS)} than the present one: it was created again, "
                        f"restored or moved, and new events would not be applied. {RENUMBERED}"
                    )
