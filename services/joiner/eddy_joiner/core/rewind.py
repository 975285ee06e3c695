"""Where a worker stands and how far back its successor has to read: what is committed beside the offset of user-events."""

from dataclasses import astuple, dataclass

from eddy_joiner.core.state import JoinState

_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Rewind:
    """Commit metadata, some 120 bytes of Kafka's 4,096. All times in ms.

    `watermark` is where windows are judged, `now` the newest event time so far. `events`, `lists` and `own` are the offsets to read
    user-events, recommendations and the worker's own output from; `clock` and `list_time` the newest event and request time before
    them. Lists before `lists_read` were judged already: one that cannot be used has its dead letter.
    """

    watermark: int
    now: int
    events: int
    clock: int
    slates: int
    list_time: int
    own: int
    lists_read: int

    def encode(self) -> str:
        return ":".join([_FORMAT, *map(str, astuple(self))])

    @staticmethod
    def decode(metadata: str) -> "Rewind":
        """Raises ValueError on what no version of the joiner wrote."""
        version, *numbers = metadata.split(":")
        if version != _FORMAT:
            raise ValueError(
                f"committed with {metadata!r}, which no joiner wrote: where offsets were reset by hand, stop the joiners, "
                f"delete the group's offsets (kafka-consumer-groups --delete-offsets) and start them again"
            )
        return Rewind(*map(int, numbers))


def rewind_of(state: JoinState, events: int, slates: int, own: int) -> Rewind:
    """The rewind of a state whose worker stands at these offsets."""
    batch, held = state.oldest_batch(), state.oldest_list()
    return Rewind(
        watermark=state.watermark,
        now=state.clock,
        events=events if batch is None else batch.events_offset,
        clock=state.clock if batch is None else batch.clock,
        slates=slates if held is None else held.served.offset,
        list_time=state.list_time if held is None else held.list_time,
        own=own if batch is None else batch.own_offset,
        lists_read=slates,
    )
