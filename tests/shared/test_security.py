"""Kafka over TLS with a login, and with ACLs: the loop with the users and permissions of `eddy topics`, and without one of them."""

import asyncio
import gc
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eddy.contract.topics import DEAD_LETTERS, MODEL_RELEASES, RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS, topics
from eddy.errors import ConfigError, FatalError
from eddy.kafka.bus import Bus, KafkaError
from eddy.kafka.connection import Connection
from eddy.kafka.permissions import PUBLISHERS, topic_access
from eddy.settings import Settings, load
from eddy_cli.commands import make_app
from eddy_cli.doctor import kafka as doctor_kafka
from eddy_cli.doctor.finding import Verdict
from eddy_cli.services import SERVICES as SETTINGS
from eddy_cli.topics.acls import USERS, Acl, acls
from eddy_cli.topics.administration import apply_acls, create_users
from eddy_cli.topics.check import check_topics
from eddy_cli.topics.passwords import variable_of
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
        eddy(broker, "", "topics", "users", **{variable_of(user): PASSWORD for user in USERS})
        yield broker


def environment_of(secured: Secured, user: str, prefix: str) -> dict[str, str]:
    return secured.environment(username=user) | {"EDDY_TOPIC_PREFIX": prefix}


def bus_of(secured: Secured, user: str, prefix: str) -> Bus:
    return Bus(load(Settings, environment_of(secured, user, prefix)))


def eddy(secured: Secured, prefix: str, *arguments: str, **environment: str) -> str:
    """The output of a command of `eddy`, run as the administrator."""
    environment = environment_of(secured, SCRAM_USER, prefix) | environment
    result = CliRunner().invoke(make_app(), list(arguments), env=environment)
    assert result.exit_code == 0, result.output
    return result.output


def acls_of(prefix: str, user: str) -> list[Acl]:
    environment = {"EDDY_TOPIC_PREFIX": prefix}
    all_of_them = acls({name: load(settings, environment) for name, settings in SETTINGS.items()})
    return [acl for acl in all_of_them if acl.principal == f"User:eddy-{user}"]


def grant(secured: Secured, prefix: str, permissions: Sequence[Acl]) -> None:
    apply_acls(load(Settings, environment_of(secured, SCRAM_USER, prefix)), permissions)


async def test_the_loop_runs_over_tls_with_the_printed_acls(
    secured: Secured, topic_prefix: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(eddy, secured, topic_prefix, "topics", "create")
    await asyncio.to_thread(eddy, secured, topic_prefix, "topics", "acls", "--apply")
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


async def test_a_user_may_do_on_each_topic_what_topics_yaml_says(secured: Secured, topic_prefix: str) -> None:
    await asyncio.to_thread(eddy, secured, topic_prefix, "topics", "create")
    await asyncio.to_thread(eddy, secured, topic_prefix, "topics", "acls", "--apply")
    names = {topic_prefix + name: topic for name, topic in topics().items()}
    for user in (*SERVICES, PUBLISHERS):
        async with Connection(load(Settings, environment_of(secured, f"eddy-{user}", topic_prefix))).admin() as client:
            access = await topic_access(client, names)
        allowed = {name: access[name].operations or frozenset() for name in names}
        assert {name for name in names if "Write" in allowed[name]} == {n for n in names if user in names[n].producers}
        assert {name for name in names if "Read" in allowed[name]} == {n for n in names if user in names[n].consumers}
    gateway = bus_of(secured, "eddy-gateway", topic_prefix)
    async with gateway.producer() as producer:
        with pytest.raises(KafkaError, match="TopicAuthorizationFailed"):
            await (await producer.send(MODEL_RELEASES, "champion", b"forged"))
    assert await read_all(bus_of(secured, SCRAM_USER, topic_prefix), MODEL_RELEASES) == []


def test_who_is_no_administrator_creates_neither_users_nor_acls(secured: Secured, topic_prefix: str) -> None:
    settings = load(Settings, environment_of(secured, "eddy-gateway", topic_prefix))
    with pytest.raises(FatalError, match=r"cannot create ACLs: .*must be an administrator"):
        apply_acls(settings, acls_of(topic_prefix, "gateway"))
    with pytest.raises(FatalError, match=r"cannot create logins: .*must be an administrator"):
        create_users(settings, {"eddy-gateway": "another password"})


@pytest.mark.parametrize(
    ("service", "removed", "message"),
    [
        (
            "features",
            ("Read", "user-features"),
            "lacks permissions (ACLs): Read on topic {}user-features. `eddy",
        ),
        (
            "gateway",
            ("Describe", "dead-letters"),
            "lacks permissions (ACLs): Describe on topic {}dead-letters. `",
        ),
        (
            "features",
            ("Read", "features"),
            "Kafka denies Read on group {}features: a permission (ACL) is missing",
        ),
        ("scorer", ("Read", "scorer"), "Kafka denies Read on group {}scorer: a permission (ACL) is missing"),
        ("joiner", ("Write", "joiner-"), "Kafka denies Write on transactional id {}joiner-"),
    ],
)
async def test_a_service_names_the_missing_permission(
    secured: Secured, topic_prefix: str, tmp_path: Path, service: str, removed: tuple[str, str], message: str
) -> None:
    await bus_of(secured, SCRAM_USER, topic_prefix).create_topics()
    operation, name = removed
    required = acls_of(topic_prefix, service)
    granted = [acl for acl in required if (acl.operation, acl.name) != (operation, topic_prefix + name)]
    assert len(granted) == len(required) - 1
    await asyncio.to_thread(grant, secured, topic_prefix, granted)
    environment = environment_of(secured, f"eddy-{service}", topic_prefix) | {"EDDY_STATE_DIR": str(tmp_path)}
    with running(service, environment, tmp_path / "log") as started:
        await poll_until(lambda: started.process.poll() is not None, 90, what=f"{service} has ended")
        assert started.process.returncode == 1
    last_line = (tmp_path / "log").read_text().splitlines()[-1]
    assert last_line.startswith(f"{service}: ")
    assert message.format(topic_prefix) in last_line
    assert secured.denied_requests(topic_prefix) or "lacks" in message


async def test_a_user_with_a_new_password_cannot_log_in_with_the_former_one(secured: Secured) -> None:
    administrator = load(Settings, secured.environment())

    async def log_in(password: str) -> None:
        login = load(Settings, secured.environment(username="eddy-rotated", password=password))
        async with Connection(login).admin():
            pass

    await asyncio.to_thread(create_users, administrator, {"eddy-rotated": "the first password"})
    await log_in("the first password")
    await asyncio.to_thread(create_users, administrator, {"eddy-rotated": "the second password"})
    await log_in("the second password")
    with pytest.raises(FatalError, match=r"refused the login"):
        await log_in("the first password")


def test_check_and_doctor_name_the_missing_permission(secured: Secured, topic_prefix: str) -> None:
    asyncio.run(bus_of(secured, SCRAM_USER, topic_prefix).create_topics())
    grant(
        secured, topic_prefix, [acl for acl in acls_of(topic_prefix, PUBLISHERS) if acl.name != f"{topic_prefix}items"]
    )
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
