"""Kafka over TLS with a login: every service on a broker that takes nobody else in."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from eddy.contract.topics import DEAD_LETTERS, TRAINING_EXAMPLES
from eddy.errors import ConfigError, FatalError
from eddy.kafka.bus import Bus
from eddy.settings import Settings, load
from eddy_cli.broker import running_broker
from eddy_cli.ports import HOST, free_port
from tests.poll import poll_until
from tests.service import filled_list, read_all, running_together

pytestmark = pytest.mark.stack

SERVICES = ("features", "scorer", "joiner", "trainer", "gateway")
PLAIN_USER, SCRAM_USER, PASSWORD = "plain-user", "scram-user", "pass word"


@dataclass(frozen=True)
class Secured:
    """A broker that listens for TLS with a login, and who signed its certificate."""

    servers: str
    ca: Path

    def environment(self, **changes: str) -> dict[str, str]:
        settings = {
            "bootstrap_servers": self.servers,
            "security": "SASL_SSL",
            "ca": str(self.ca),
            "username": SCRAM_USER,
            "password": PASSWORD,
            **changes,
        }
        return {f"EDDY_KAFKA_{name.upper()}": value for name, value in settings.items() if value}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert(HOST)
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]  # what Java reads
    (folder / "broker.pem").write_bytes(b"".join([*parts, *(part.bytes() for part in certificate.cert_chain_pems)]))
    port, plain = free_port(), "org.apache.kafka.common.security.plain.PlainLoginModule"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    inside = free_port()
    controller = free_port()
    also = {
        "listeners": f"PLAINTEXT://{HOST}:{inside},CONTROLLER://{HOST}:{controller},SECURE://{HOST}:{port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{inside},CONTROLLER://{HOST}:{controller},SECURE://{HOST}:{port}",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "broker.pem",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.secure.plain.sasl.jaas.config": f'{plain} required user_{PLAIN_USER}="{PASSWORD}";',
        "listener.name.secure.scram-sha-512.sasl.jaas.config": f"{scram} required;",
    }
    login = f"SCRAM-SHA-512=[name={SCRAM_USER},password={PASSWORD}]"
    with running_broker(inside, also=also, format_with=("--add-scram", login)):
        yield Secured(f"{HOST}:{port}", folder / "ca.pem")


async def test_the_loop_turns_over_tls_with_a_login(secured: Secured, topic_prefix: str, tmp_path: Path) -> None:
    environment = secured.environment() | {"EDDY_TOPIC_PREFIX": topic_prefix, "EDDY_STATE_DIR": str(tmp_path / "state")}
    with running_together(SERVICES, environment, tmp_path) as services:
        gateway = services["gateway"]
        for number in range(5):
            gateway.ask("PUT", f"/v1/items/i{number}", {"title": f"Item {number}"})
        did = {"user_id": "u", "scenario": "video"}
        offset = gateway.ask("POST", "/v1/events", did | {"action": "play", "item_id": "i1"})["accepted"][0]["offset"]
        listed = await filled_list(
            gateway, f"/v1/recommendations/u?scenario=video&after_offset={offset}", 4
        )  # one of five is seen
        assert listed["applied_offset"] == offset
        answer = did | {"request_id": listed["request_id"]}
        gateway.ask("POST", "/v1/events", answer | {"action": "impression"})
        gateway.ask("POST", "/v1/events", answer | {"action": "click", "item_id": listed["items"][0]["item_id"]})
        trainer = services["trainer"]
        await poll_until(lambda: trainer.metric("eddy_trainer_examples_total") >= 3, 60, what="all examples")
        await poll_until(lambda: trainer.metric("eddy_trainer_releases_total") > 0, 60, what="a release")
    bus = Bus(load(Settings, {name: value for name, value in environment.items() if "STATE" not in name}))
    assert len(await read_all(bus, TRAINING_EXAMPLES)) >= 3
    assert await read_all(bus, DEAD_LETTERS) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"sasl_mechanism": "PLAIN", "username": PLAIN_USER},
        {},
    ],
)
async def test_both_ways_to_log_in_are_taken(secured: Secured, topic_prefix: str, changes: dict[str, str]) -> None:
    bus = Bus(load(Settings, secured.environment(**changes) | {"EDDY_TOPIC_PREFIX": topic_prefix}))
    await bus.create_topics()
    assert await read_all(bus, DEAD_LETTERS) == []


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"ca": ""}])
async def test_who_cannot_log_in_is_told_so(secured: Secured, changes: dict[str, str]) -> None:
    with pytest.raises(FatalError, match="no Kafka at"):
        await Bus(load(Settings, secured.environment(**changes))).create_topics()


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"ca": "/nowhere.pem"}, "cannot use /nowhere.pem for TLS"), ({"username": ""}, "set EDDY_KAFKA_USERNAME")],
)
def test_what_is_missing_is_named(changes: dict[str, str], says: str) -> None:
    secured = Secured("127.0.0.1:1", Path("/dev/null"))
    changes = {"ca": "", **changes}
    with pytest.raises(ConfigError, match=says):
        Bus(load(Settings, secured.environment(**changes)))
