"""Logging of a service process: structured lines on stderr, also for the log records of libraries."""

import logging
import sys

import structlog

log = structlog.get_logger()

# Warnings and errors of Kafka clients (aiokafka, and Faust on mode) about conditions that they recover from by themselves: at every start
# on a new broker, at every rebalance, on a busy machine. Each entry is the beginning of a message template in the library's source.
ROUTINE = (
    "Group Coordinator Request failed",
    "Marking the coordinator dead",
    "Heartbeat failed for group %s because it is rebalancing",
    "Heartbeat failed for group %s: coordinator",
    "Heartbeat failed for group %s: generation id is not",
    "Heartbeat failed: local member_id was not recognized",
    "Topic %s is not available during auto-create initialization",
    "Topic %s not found in cluster metadata",
    "Timer %s is overlapping",
)


class LibraryLogHandler(logging.Handler):
    """Writes log records of libraries as structured lines: event `library`, with the logger's name and the message.

    The messages in ROUTINE are written at level debug.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log record."""
        routine = record.levelno < logging.CRITICAL and str(record.msg).startswith(ROUTINE)
        level = "debug" if routine else record.levelname.lower()
        getattr(log, level)("library", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


def configure_logging(level: str, service: str) -> None:
    """Write structured lines of at least `level` to stderr: constant event names plus fields. Libraries log from warning up."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, handlers=[LibraryLogHandler()], force=True)
