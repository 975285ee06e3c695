"""The commit metadata of a partition: the watermarks, and the offsets that a restart reads the logs from."""

from dataclasses import astuple, dataclass

from eddy.errors import FatalError
from eddy_joiner.core.state import Entry, JoinState
from eddy_joiner.core.timelines import EVENT, NEVER, ReachedTimes, Timeline, Times

# Fields by format. The first one had no times of the broker, the second one no reached times.
_FORMAT = "3"
_FIELDS = {_FORMAT: 14, "2": 11, "1": 8}


@dataclass(frozen=True, slots=True)
class RestartPoint:
    """The metadata of a committed user-events offset, about 230 bytes of Kafka's 4,096. All times in ms.

    `watermark` is the event time that windows close at, `newest_event_time` that of the log. A restart reads user-events, recommendations
    and the worker's own output from `events_offset`, `slates_offset` and `output_offset`; `clock` and `slate_clock` are the newest event
    and request time before these offsets. Slates before `slates_end` have been read: unusable ones among them are in the dead letters.
    `broker_watermark`, `newest_append_time` and `broker_clock` are what `watermark`, `newest_event_time` and `clock` are in event time.
    `reached_by`, `reached` and `reached_by_others` are the times that `clock` comes from (eddy_joiner.core.timelines.ReachedTimes).
    """

    watermark: int
    newest_event_time: int
    events_offset: int
    clock: int
    slates_offset: int
    slate_clock: int
    output_offset: int
    slates_end: int
    broker_watermark: int = NEVER
    newest_append_time: int = NEVER
    broker_clock: int = NEVER
    reached_by: int = 0
    reached: int = NEVER
    reached_by_others: int = NEVER

    def encode(self) -> str:
        return ":".join([_FORMAT, *map(str, astuple(self))])

    @staticmethod
    def decode(metadata: str) -> "RestartPoint":
        """Parse commit metadata. Raises FatalError for metadata that neither this nor a former version has written."""
        version, *numbers = metadata.split(":")
        try:
            if len(numbers) == _FIELDS.get(version):
                return RestartPoint(*map(int, numbers))
        except ValueError:
            pass
        raise FatalError(
            f"the joiner's group has commit metadata {metadata!r} for user-events, which no joiner up to this version writes. If a newer "
            "joiner ran before, start that one. If the offsets were reset by hand, stop the joiners, delete the offsets "
            "(kafka-consumer-groups.sh --delete-offsets) and start them again: they rebuild the join from the topics."
        )

    @property
    def watermarks(self) -> Times:
        """The watermarks in broker time and in event time."""
        return self.broker_watermark, self.watermark

    @property
    def reached_times(self) -> ReachedTimes:
        """The event times that a state is rebuilt from. Former formats had the newest one alone."""
        if self.reached == NEVER:
            return ReachedTimes(0, self.clock, self.clock)
        return ReachedTimes(self.reached_by, self.reached, self.reached_by_others)

    def timelines(self) -> tuple[Timeline[Entry], ...]:
        """The timelines of a state that is rebuilt from this point."""
        return (
            Timeline(self.broker_clock, self.newest_append_time),
            Timeline(self.clock, self.newest_event_time),
        )


def restart_point(state: JoinState, events_end: int, slates_end: int, output_end: int) -> RestartPoint:
    """The restart point of a state that has applied the logs up to these offsets."""
    batch, slate = state.oldest_batch(), state.oldest_slate()
    newest_append_time, newest_event_time = state.clocks
    broker_clock, clock = state.clocks if batch is None else batch.clocks
    reached = state.reached if batch is None else batch.reached
    broker_watermark, watermark = state.watermarks
    return RestartPoint(
        watermark=watermark,
        newest_event_time=newest_event_time,
        events_offset=events_end if batch is None else batch.events_offset,
        clock=clock,
        slates_offset=slates_end if slate is None else slate.slate.offset,
        slate_clock=state.slate_clocks[EVENT] if slate is None else slate.slate_clock,
        output_offset=output_end if batch is None else batch.output_offset,
        slates_end=slates_end,
        broker_watermark=broker_watermark,
        newest_append_time=newest_append_time,
        broker_clock=broker_clock,
        reached_by=reached.user,
        reached=reached.newest,
        reached_by_others=reached.others,
    )
