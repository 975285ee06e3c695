"""Checks of the configured Kafka: connection, topics, clock."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from eddy.errors import FatalError
from eddy.kafka.connection import Connection
from eddy.kafka.inspection import probe_clock
from eddy.settings import Settings
from eddy_cli.doctor.finding import Finding, note, ok, wrong
from eddy_cli.topics.check import check_topics

ANSWER_WITHIN_SEC = 30.0
MAX_SKEW_MS = 1000.0
T = TypeVar("T")


def examine(settings: Settings) -> Iterator[Finding]:
    """Check the connection, the topics and the clock."""
    servers = settings.kafka_bootstrap_servers
    try:
        asyncio.run(_within(_reach(settings)))
    except FatalError as error:
        if "kafka_bootstrap_servers" in settings.model_fields_set:
            yield wrong("kafka", f"no answer from {servers}", str(error))
        else:
            yield note("kafka", "EDDY_KAFKA_BOOTSTRAP_SERVERS is not set", "`eddy run` and `eddy demo` start their own")
        yield note("topics", "not checked, as no Kafka answers")
        yield note("clock", "not checked, as no Kafka answers")
        return
    yield ok("kafka", f"{servers} answers")
    yield _topics(settings)
    yield _clock(settings)


async def _reach(settings: Settings) -> None:
    async with Connection(settings).admin():
        pass


def _topics(settings: Settings) -> Finding:
    try:
        problems = asyncio.run(_within(check_topics(settings)))
    except FatalError as error:
        return wrong("topics", "cannot be checked", str(error))
    if not problems:
        return ok("topics", "all match schemas/topics.yaml")
    missing = [problem for problem in problems if problem.description == "missing"]
    if missing:
        return wrong("topics", f"{len(missing)} missing, {missing[0].topic} first", "Create them: `eddy topics create`")
    if problems[0].denied:
        return wrong("topics", f"{problems[0].topic}: {problems[0].description}", problems[0].remedy)
    names = ", ".join(dict.fromkeys(problem.topic for problem in problems))
    return wrong(
        "topics", f"different from schemas/topics.yaml: {names}", "`eddy topics check` prints the remedy for each"
    )


def _clock(settings: Settings) -> Finding:
    probing = probe_clock(Connection(settings), settings.topic_prefix, settings.topic_replication)
    try:
        probe = asyncio.run(_within(probing))
    except FatalError as error:
        return note("clock", f"not compared: {error}")
    if abs(probe.skew_ms) > MAX_SKEW_MS:
        side = "ahead of" if probe.skew_ms > 0 else "behind"
        observation = f"{abs(probe.skew_ms) / 1000:.1f} s {side} the broker's"
        return wrong("clock", observation, "Synchronise both machines by NTP (e.g. `timedatectl set-ntp true`)")
    return ok("clock", f"within {max(abs(probe.skew_ms), probe.round_trip_ms):.0f} ms of the broker's")


async def _within(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await asyncio.wait_for(work, ANSWER_WITHIN_SEC)
    except TimeoutError:
        raise FatalError(f"no answer within {ANSWER_WITHIN_SEC:.0f} s: check the network and the brokers") from None
