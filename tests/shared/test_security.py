"""Kafka over TLS with a login, and with ACLs: the loop with the permissions that `eddy topics acls` prints, and without one of them."""

import asyncio
import gc
import re
import shlex
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from typer.testing import CliRunner

from eddy.contract.topics import DEAD_LETTERS, RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.errors import ConfigError, FatalError
from eddy.kafka.bus import Bus
from eddy.settings import Settings, load
from eddy_cli.commands import make_app
from eddy_cli.doctor import kafka as doctor_kafka
from eddy_cli.doctor.finding import Verdict
from eddy_cli.topics.check import check_topics
from tests.features.factories import encoded, event
from tests.poll import poll_until
from tests.secured import PASSWORD, PLAIN_USER, PUBLISHER, SCRAM_USER, SERVICES, Secured, running_secured_broker
from tests.service import filled_slate, read_all, running, running_together

# aiokafka does not wait for the broker's answer when it closes a TLS connection, so that a transport can outlive the test's event loop.
pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def transports_are_collected() -> Iterator[None]:
    """Collect transports that outlived their event loop here, instead of in a test of another file."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with running_secured_broker(tmp_path_factory.mktemp("tls")) as broker:
        yield broker


def environment_of(secured: Secured, user: str, prefix: str) -> dict[str, str]:
    return secured.environment(username=user) | {"EDDY_TOPIC_PREFIX": prefix}


def bus_of(secured: Secured, user: str, prefix: str) -> Bus:
    return Bus(load(Settings, environment_of(secured, user, prefix)))


def printed_acls(prefix: str, service: str = "") -> list[str]:
    """The command lines that `eddy topics acls` prints, all of them or those of a service."""
    result = CliRunner().invoke(make_app(), ["topics", "acls"], env={"EDDY_TOPIC_PREFIX": prefix})
    assert result.exit_code == 0, result.output
    return [line for line in result.output.splitlines() if f"'User:eddy-{service}" in line]


def apply_acls(secured: Secured, lines: Sequence[str]) -> None:
    """Do what kafka-acls.sh does with these command lines."""
    admin = AdminClient(
        {
            "bootstrap.servers": secured.servers,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(secured.ca),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": SCRAM_USER,
            "sasl.password": PASSWORD,
        }
    )
    for future in admin.create_acls([_binding(line) for line in lines]).values():
        future.result(30)


def _binding(line: str) -> AclBinding:
    script, *arguments = shlex.split(line)
    assert script == "kafka-acls.sh"
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--add", action="store_true", required=True)
    for option in ("bootstrap-server", "allow-principal", "operation", "resource-pattern-type"):
        parser.add_argument(f"--{option}", required=True)
    resource = parser.add_mutually_exclusive_group(required=True)
    for option in ("topic", "group", "transactional-id"):
        resource.add_argument(f"--{option}")
    acl = parser.parse_args(arguments)
    kind, name = next(
        (kind, name)
        for kind, name in [
            (ResourceType.TOPIC, acl.topic),
            (ResourceType.GROUP, acl.group),
            (ResourceType.TRANSACTIONAL_ID, acl.transactional_id),
        ]
        if name
    )
    operation = AclOperation[re.sub("(?<=[a-z])(?=[A-Z])", "_", acl.operation).upper()]
    pattern = ResourcePatternType[acl.resource_pattern_type.upper()]
    return AclBinding(kind, name, pattern, acl.allow_principal, "*", operation, AclPermissionType.ALLOW)


async def test_the_loop_runs_over_tls_with_the_printed_acls(
    secured: Secured, topic_prefix: str, tmp_path: Path
) -> None:
    await bus_of(secured, SCRAM_USER, topic_prefix).create_topics()
    apply_acls(secured, printed_acls(topic_prefix))
    publisher = bus_of(secured, PUBLISHER, topic_prefix)
    own = {
        service: environment_of(secured, f"eddy-{service}", topic_prefix) | {"EDDY_STATE_DIR": str(tmp_path / service)}
        for service in SERVICES
    }
    with running_together(SERVICES, {}, tmp_path, **own) as services:
        gateway, trainer = services["gateway"], services["trainer"]
        for number in range(5):
            gateway.ask("PUT", f"/v1/items/i{number}", {"title": f"Item {number}"})
        async with publisher.producer() as producer:
            key, value = encoded(event(user_id="w", action="play", item_id="i0"))
            await producer.send(USER_EVENTS, key, value)
        did = {"user_id": "u", "scenario": "video"}
        offset = gateway.ask("POST", "/v1/events", did | {"action": "play", "item_id": "i1"})["accepted"][0]["offset"]
        slate = await filled_slate(
            gateway, f"/v1/recommendations/u?scenario=video&after_offset={offset}", 4
        )  # one of five is seen
        assert slate["applied_offset"] == offset
        answer = did | {"request_id": slate["request_id"]}
        gateway.ask("POST", "/v1/events", answer | {"action": "impression"})
        gateway.ask("POST", "/v1/events", answer | {"action": "click", "item_id": slate["items"][0]["item_id"]})
        await poll_until(lambda: trainer.metric("eddy_trainer_examples_total") >= 4, 60, what="all examples")
        await poll_until(lambda: trainer.metric("eddy_trainer_releases_total") > 0, 60, what="a release")
    assert len(await read_all(bus_of(secured, SCRAM_USER, topic_prefix), TRAINING_EXAMPLES)) >= 4
    assert await read_all(publisher, RECOMMENDATIONS)
    assert await read_all(publisher, DEAD_LETTERS) == []
    assert secured.denied_requests(topic_prefix) == []


@pytest.mark.parametrize(
    ("service", "removed", "message"),
    [
        (
            "features",
            "Read --topic '{}user-features'",
            "lacks permissions (ACLs): Read on topic {}user-features. `eddy",
        ),
        (
            "gateway",
            "Describe --topic '{}dead-letters'",
            "lacks permissions (ACLs): Describe on topic {}dead-letters. `",
        ),
        (
            "features",
            "Read --group '{}features'",
            "Kafka denies Read on group {}features: a permission (ACL) is missing",
        ),
        ("scorer", "Read --group '{}scorer'", "Kafka denies Read on group {}scorer: a permission (ACL) is missing"),
        ("joiner", "Write --transactional-id '{}joiner-'", "Kafka denies Write on transactional id {}joiner-"),
    ],
)
async def test_a_service_names_the_missing_permission(
    secured: Secured, topic_prefix: str, tmp_path: Path, service: str, removed: str, message: str
) -> None:
    await bus_of(secured, SCRAM_USER, topic_prefix).create_topics()
    required = printed_acls(topic_prefix, service)
    granted = [line for line in required if removed.format(topic_prefix) not in line]
    assert len(granted) == len(required) - 1
    apply_acls(secured, granted)
    environment = environment_of(secured, f"eddy-{service}", topic_prefix) | {"EDDY_STATE_DIR": str(tmp_path)}
    with running(service, environment, tmp_path / "log") as started:
        await poll_until(lambda: started.process.poll() is not None, 90, what=f"{service} has ended")
        assert started.process.returncode == 1
    last_line = (tmp_path / "log").read_text().splitlines()[-1]
    assert last_line.startswith(f"{service}: ")
    assert message.format(topic_prefix) in last_line
    assert secured.denied_requests(topic_prefix) or "lacks" in message


def test_check_and_doctor_name_the_missing_permission(secured: Secured, topic_prefix: str) -> None:
    asyncio.run(bus_of(secured, SCRAM_USER, topic_prefix).create_topics())
    required = printed_acls(topic_prefix, "publishers")
    apply_acls(secured, [line for line in required if f"'{topic_prefix}items'" not in line])
    settings = load(Settings, environment_of(secured, PUBLISHER, topic_prefix))
    problems = {problem.topic: problem.description for problem in asyncio.run(check_topics(settings))}
    lacks = f"the Kafka user {PUBLISHER} lacks the permission"
    assert problems[f"{topic_prefix}items"] == f"{lacks} Describe"
    assert problems[f"{topic_prefix}user-events"] == f"{lacks} DescribeConfigs"
    (finding,) = [finding for finding in doctor_kafka.examine(settings) if finding.name == "topics"]
    assert finding.verdict is Verdict.WRONG
    assert finding.observation == f"{topic_prefix}user-events: {lacks} DescribeConfigs"
    administrator = load(Settings, environment_of(secured, SCRAM_USER, topic_prefix))
    assert asyncio.run(check_topics(administrator)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"sasl_mechanism": "PLAIN", "username": PLAIN_USER},
        {},
    ],
)
async def test_both_ways_to_log_in_work(secured: Secured, topic_prefix: str, changes: dict[str, str]) -> None:
    bus = Bus(load(Settings, secured.environment(**changes) | {"EDDY_TOPIC_PREFIX": topic_prefix}))
    await bus.create_topics()
    assert await read_all(bus, DEAD_LETTERS) == []


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"ca": ""}])
async def test_a_refused_login_is_reported(secured: Secured, changes: dict[str, str]) -> None:
    with pytest.raises(FatalError, match="no Kafka at"):
        await Bus(load(Settings, secured.environment(**changes))).create_topics()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"ca": "/nowhere.pem"}, "cannot use /nowhere.pem for TLS"), ({"username": ""}, "set EDDY_KAFKA_USERNAME")],
)
def test_missing_login_settings_are_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    secured = Secured("127.0.0.1:1", tmp_path / "none.pem", tmp_path / "none.log")
    changes = {"ca": "", **changes}
    with pytest.raises(ConfigError, match=message):
        Bus(load(Settings, secured.environment(**changes)))
