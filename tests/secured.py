"""A broker that accepts only TLS with a login, and allows a user only what ACLs say."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from eddy_cli.broker import running_broker
from eddy_cli.ports import HOST, free_port

SERVICES = ("features", "scorer", "joiner", "trainer", "gateway")
# Administrators, one for each way to log in; the others log in by SCRAM.
PLAIN_USER, SCRAM_USER, PASSWORD = "plain-user", "scram-user", "a pass word of spaces"
PUBLISHER = "eddy-publishers"


@dataclass(frozen=True)
class Secured:
    """The address for clients, the authority that signed the certificate, and the broker's log."""

    servers: str
    ca: Path
    log_file: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """Settings of an administrator; `changes` are settings of the connection by their short names."""
        settings = {
            "bootstrap_servers": self.servers,
            "security": "SASL_SSL",
            "ca": str(self.ca),
            "username": SCRAM_USER,
            "password": PASSWORD,
            **changes,
        }
        return {f"EDDY_KAFKA_{name.upper()}": value for name, value in settings.items() if value}

    def denied_requests(self, prefix: str) -> list[str]:
        """What the authorizer denied below `prefix`, from the broker's log."""
        log = self.log_file.read_text()
        return [line for line in log.splitlines() if "is Denied" in line and f":{prefix}" in line]


@contextmanager
def running_secured_broker(folder: Path) -> Iterator[Secured]:
    """Start the broker with its certificates in `folder`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert(HOST)
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]  # what Java reads
    (folder / "broker.pem").write_bytes(b"".join([*parts, *(part.bytes() for part in certificate.cert_chain_pems)]))
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    inside, controller, port = free_port(), free_port(), free_port()
    listeners = f"PLAINTEXT://{HOST}:{inside},CONTROLLER://{HOST}:{controller},SECURE://{HOST}:{port}"
    overrides = {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "broker.pem",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.secure.plain.sasl.jaas.config": f'{plain} required user_{PLAIN_USER}="{PASSWORD}";',
        "listener.name.secure.scram-sha-512.sasl.jaas.config": f"{scram} required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The broker connects to itself without a login.
        "super.users": f"User:ANONYMOUS;User:{PLAIN_USER};User:{SCRAM_USER}",
    }
    with running_broker(inside, overrides=overrides, format_arguments=("--add-scram", _scram(SCRAM_USER))) as broker:
        yield Secured(f"{HOST}:{port}", folder / "ca.pem", broker.log_file)


def _scram(user: str) -> str:
    return f"SCRAM-SHA-512=[name={user},password={PASSWORD}]"
