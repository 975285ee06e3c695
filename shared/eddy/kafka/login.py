"""The login of clients to the brokers: TLS, SASL, both or neither."""

import ssl
from dataclasses import dataclass
from typing import Any

from aiokafka.helpers import create_ssl_context

from eddy.errors import ConfigError
from eddy.settings import Settings


@dataclass(frozen=True, slots=True)
class Login:
    """TLS if `tls` is set, SASL if `mechanism` is set."""

    protocol: str
    tls: ssl.SSLContext | None
    mechanism: str | None
    username: str
    password: str

    @staticmethod
    def of(settings: Settings) -> "Login":
        """The login of the settings. Raises ConfigError for unreadable files, and for SASL without a user name."""
        protocol = settings.kafka_security
        tls = _tls(settings) if protocol.endswith("SSL") else None
        mechanism = settings.kafka_sasl_mechanism if protocol.startswith("SASL") else None
        if mechanism and not settings.kafka_username:
            raise ConfigError(f"EDDY_KAFKA_SECURITY is {protocol}: set EDDY_KAFKA_USERNAME and EDDY_KAFKA_PASSWORD too")
        return Login(protocol, tls, mechanism, settings.kafka_username, settings.kafka_password.get_secret_value())

    def options(self) -> dict[str, Any]:
        """Options of aiokafka's clients."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.tls}
        if self.mechanism:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options


def _tls(settings: Settings) -> ssl.SSLContext:
    ca, certificate, key = settings.kafka_ca, settings.kafka_certificate, settings.kafka_key
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=ca and str(ca), certfile=certificate and str(certificate), keyfile=key and str(key)
        )
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (ca, certificate, key) if path)
        raise ConfigError(f"cannot use {files} for TLS: {error}; see EDDY_KAFKA_CA, _CERTIFICATE and _KEY") from error
    return context
