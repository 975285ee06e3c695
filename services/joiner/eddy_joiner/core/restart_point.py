"""The commit metadata of a partition: the watermark, and the offsets that a restart reads the logs from."""

from dataclasses import astuple, dataclass

from eddy_joiner.core.state import JoinState

_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class RestartPoint:
    """The metadata of a committed user-events offset, about 120 bytes of Kafka's 4,096. All times in ms.

    `watermark` is the event time that windows close at, `newest_event_time` that of the log. A restart reads user-events, recommendations
    and the worker's own output from `events_offset`, `slates_offset` and `output_offset`; `clock` and `slate_clock` are the newest event
    and request time before these offsets. Slates before `slates_end` have been read: unusable ones among them are in the dead letters.
    """

    watermark: int
    newest_event_time: int
    events_offset: int
    clock: int
    slates_offset: int
    slate_clock: int
    output_offset: int
    slates_end: int

    def encode(self) -> str:
        return ":".join([_FORMAT, *map(str, astuple(self))])

    @staticmethod
    def decode(metadata: str) -> "RestartPoint":
        """Parse commit metadata. Raises ValueError for metadata that no version of the joiner has written."""
        version, *numbers = metadata.split(":")
        if version != _FORMAT:
            raise ValueError(
                f"commit metadata {metadata!r} is not the joiner's; expected {_FORMAT}:<offsets and times>. If the group's offsets were "
                f"reset by hand: stop the joiners, delete the offsets (kafka-consumer-groups --delete-offsets) and start the joiners again."
            )
        return RestartPoint(*map(int, numbers))


def restart_point(state: JoinState, events_end: int, slates_end: int, output_end: int) -> RestartPoint:
    """The restart point of a state that has applied the logs up to these offsets."""
    batch, slate = state.oldest_batch(), state.oldest_slate()
    return RestartPoint(
        watermark=state.watermark,
        newest_event_time=state.clock,
        events_offset=events_end if batch is None else batch.events_offset,
        clock=state.clock if batch is None else batch.clock,
        slates_offset=slates_end if slate is None else slate.slate.offset,
        slate_clock=state.slate_clock if slate is None else slate.slate_clock,
        output_offset=output_end if batch is None else batch.output_offset,
        slates_end=slates_end,
    )
