"""Records that a log lost before they were read: counted and logged, never silent."""

import structlog

from eddy.metrics import LOG_GAPS

log = structlog.get_logger()


def note_gap(topic: str, partition: int, position: int, start: int, end: int) -> int:
    """Where a reader at `position` continues in a log (topic by its short name) with the offsets `start` to `end`.

    A position outside of the log is counted and logged: retention or an administrator deleted records before they were read
    (`deleted`), or the log ends before a position that was read once (`truncated`). In both cases the reader continues at the start.
    """
    if start <= position <= end:
        return position
    kind = "deleted" if position < start else "truncated"
    LOG_GAPS.labels(topic, str(partition), kind).inc()
    log.error(
        "log_gap",
        topic=topic,
        partition=partition,
        kind=kind,
        from_offset=position,
        to_offset=start,
        end=end,
        remedy="docs/operating.md, section `A log has a gap`",
    )
    return start
