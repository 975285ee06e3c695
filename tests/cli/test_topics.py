"""Problems of topics, and ACLs."""

import pytest

from eddy.contract.topics import USER_EVENTS, USER_FEATURES, topics
from eddy.errors import ConfigError
from eddy.kafka.bus import Bus
from eddy.kafka.inspection import TopicState
from eddy.kafka.permissions import PUBLISHERS
from eddy.settings import Settings, load
from eddy_cli.services import SERVICES
from eddy_cli.topics.acls import USERS, Acl, acls, login_of
from eddy_cli.topics.check import problems
from eddy_cli.topics.passwords import passwords_of

BUS = Bus(Settings(kafka_bootstrap_servers="k:9092"))


@pytest.mark.parametrize(
    ("changed", "problem_text"),
    [
        ({}, None),
        ({"retention.ms": "1"}, "retention.ms is 1 instead of 2592000000"),
        ({"retention.ms": "9999999999"}, None),
        ({"retention.bytes": "1000000"}, "retention.bytes is 1000000 instead of -1"),
        ({"max.message.bytes": "1048588"}, "max.message.bytes is 1048588 instead of 4194304"),
        ({"message.timestamp.type": "CreateTime"}, "message.timestamp.type is CreateTime instead of LogAppendTime"),
    ],
)
def test_longer_retention_is_accepted_and_shorter_is_not(changed: dict[str, str], problem_text: str | None) -> None:
    states = {name: TopicState(4, topic.config()) for name, topic in topics().items()}
    states[USER_EVENTS] = TopicState(4, {**states[USER_EVENTS].config, **changed})
    assert [problem.description for problem in problems(states, BUS)] == ([problem_text] if problem_text else [])


def test_other_partitions_are_wrong() -> None:
    states = {name: TopicState(4, topic.config()) for name, topic in topics().items()}
    states[USER_FEATURES] = TopicState(1, states[USER_FEATURES].config)
    (problem,) = problems(states, BUS)
    assert (problem.topic, problem.description) == (USER_FEATURES, "1 partitions instead of 4")


def all_acls(**environment: str) -> list[Acl]:
    return acls({name: load(settings, environment) for name, settings in SERVICES.items()})


def test_acls_follow_topics_yaml() -> None:
    permissions = [acl for acl in all_acls() if acl.resource_type == "topic" and acl.principal != "User:eddy-tools"]
    for topic in topics().values():
        writers = {acl.principal for acl in permissions if (acl.name, acl.operation) == (topic.name, "Write")}
        readers = {acl.principal for acl in permissions if (acl.name, acl.operation) == (topic.name, "Read")}
        assert writers == {f"User:eddy-{name}" for name in topic.producers}
        assert readers == {f"User:eddy-{name}" for name in topic.consumers}


def test_acls_of_groups_follow_settings_and_prefix() -> None:
    permissions = all_acls(EDDY_TOPIC_PREFIX="a.", EDDY_JOINER_GROUP="labels")
    groups = {
        (acl.principal, acl.resource_type, acl.name, acl.pattern)
        for acl in permissions
        if acl.resource_type in ("group", "transactional-id")
    }
    assert groups == {
        ("User:eddy-features", "group", "a.features", "literal"),
        ("User:eddy-features", "group", "a.features-erasures", "literal"),
        ("User:eddy-scorer", "group", "a.scorer", "literal"),
        ("User:eddy-joiner", "group", "a.labels", "literal"),
        ("User:eddy-joiner", "transactional-id", "a.labels-", "prefixed"),
        ("User:eddy-gateway", "transactional-id", "a.gateway-items-", "prefixed"),
        ("User:eddy-trainer", "transactional-id", "a.trainer-", "prefixed"),
        ("User:eddy-tools", "group", "a.features", "literal"),
        ("User:eddy-tools", "group", "a.features-erasures", "literal"),
        ("User:eddy-tools", "group", "a.scorer", "literal"),
        ("User:eddy-tools", "group", "a.labels", "literal"),
    }
    assert all(acl.name.startswith("a.") for acl in permissions if acl.resource_type != "cluster")


def test_the_tools_publish_like_an_application_and_see_everything() -> None:
    of_tools = {(acl.name, acl.operation) for acl in all_acls() if acl.principal == "User:eddy-tools"}
    topic_names = set(topics())
    assert {name for name, operation in of_tools if operation == "Write"} == {
        topic.name for topic in topics().values() if PUBLISHERS in topic.producers
    }
    assert {name for name, operation in of_tools if operation == "Read"} == topic_names
    assert {operation for name, operation in of_tools if name in ("features", "joiner", "scorer")} == {"Describe"}


@pytest.mark.parametrize("pattern", ["User:eddy-{user}", "User:eddy-{service}"])
def test_a_pattern_names_the_principals(pattern: str) -> None:
    assert login_of("tools", pattern) == "User:eddy-tools"


@pytest.mark.parametrize("pattern", ["User:{name}", "User:{}", "User:{user", "User:{user.x}"])
def test_a_pattern_with_another_placeholder_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"no placeholder but \{user\}, as in User:eddy-\{user\}"):
        login_of("tools", pattern)


def test_who_writes_may_write_idempotently() -> None:
    """As brokers before 2.8 ask for."""
    on_the_cluster = {(acl.principal, acl.operation) for acl in all_acls() if acl.resource_type == "cluster"}
    assert on_the_cluster == {(f"User:eddy-{user}", "IdempotentWrite") for user in USERS}


def test_the_registry_is_allowed_its_own_topics_alone() -> None:
    settings = {name: load(own, {}) for name, own in SERVICES.items()}
    added = set(acls(settings, registry=True)) - set(acls(settings))
    assert {acl.principal for acl in added} == {"User:eddy-schema-registry"}
    assert {acl.name for acl in added if acl.resource_type == "topic"} == {"kafkasql-", "registry-events"}


def test_passwords_come_from_the_environment() -> None:
    environment = {"KAFKA_PASSWORD_TOOLS": "t" * 16, "KAFKA_PASSWORD_SCHEMA_REGISTRY": "r" * 16}
    assert passwords_of(["tools", "schema-registry"], environment) == {
        "eddy-tools": "t" * 16,
        "eddy-schema-registry": "r" * 16,
    }
    with pytest.raises(ConfigError, match=r"^KAFKA_PASSWORD_GATEWAY, KAFKA_PASSWORD_SCORER not set. `make passwords`"):
        passwords_of(["gateway", "scorer", "tools"], environment)
    with pytest.raises(ConfigError, match=r"KAFKA_PASSWORD_TOOLS is shorter than 16 characters. Take a random one"):
        passwords_of(["tools"], {"KAFKA_PASSWORD_TOOLS": "change-me"})


def test_an_acl_is_a_call_of_kafka_acls() -> None:
    line = Acl("User:eddy-joiner", "Write", "transactional-id", "joiner-", "prefixed").line("k:9092")
    assert line == (
        "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal 'User:eddy-joiner' --operation Write "
        "--transactional-id 'joiner-' --resource-pattern-type prefixed"
    )
    (line,) = {acl.line("k:9092") for acl in all_acls() if acl.resource_type == "cluster" and "joiner" in acl.principal}
    assert line.endswith("--operation IdempotentWrite --cluster --resource-pattern-type literal")
