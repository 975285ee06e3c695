"""Settings from EDDY_* environment variables: frozen, typed, and strict about names.

`EDDY_<NAME>` belongs to every service (Settings below), `EDDY_<SERVICE>_<NAME>` to one. A service's own settings subclass
Settings and add fields called `<service>_<name>`, so that one class reads both. pydantic-settings ignores a misspelt
variable; `load` refuses it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from eddy.errors import ConfigError
from eddy.paths import SCENARIOS, STATE

PREFIX = "EDDY_"
SERVICES = ("features", "scorer", "joiner", "trainer", "gateway", "lab")


class Settings(BaseSettings):
    """What every service needs to know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma separated.")
    kafka_compression: Literal["none", "snappy", "lz4", "zstd"] = Field(
        "none", description="How records are compressed: costs CPU on both sides, saves network and disk."
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the brokers are spoken to."
    )
    kafka_ca: Path | None = Field(
        None, description="PEM file of who signed the brokers' certificates; the system's own when not set."
    )
    kafka_certificate: Path | None = Field(None, description="PEM file of a certificate to show to the brokers.")
    kafka_key: Path | None = Field(None, description="PEM file of its key.")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How to log in where EDDY_KAFKA_SECURITY begins with SASL."
    )
    kafka_username: str = Field("", description="Who logs in.")
    kafka_password: SecretStr = Field(SecretStr(""), description="With which password.")
    schema_registry_url: str | None = Field(
        None,
        pattern="^https?://[^/]",
        description="A schema registry with Confluent's API: records are registered there and written in its wire format. "
        "Both framings are read.",
    )
    topic_prefix: str = Field(
        "", description="Put before every topic, group and transactional id: several Eddys on one Kafka."
    )
    topic_replication: int = Field(1, ge=1, description="Replication factor of topics that Eddy creates.")
    topic_partitions: int | None = Field(
        None, ge=1, description="Partitions of every topic; schemas/topics.yaml says it otherwise."
    )
    scenarios_path: Path = Field(SCENARIOS, description="The scenarios file.")
    text_model: str = Field(
        "minilm",
        description="What reads the words of items: minilm (packaged), a folder with model.onnx and tokenizer.json, or nothing.",
    )
    state_dir: Path = Field(STATE, description="Folder for local state: always safe to lose.")
    http_host: str = Field("127.0.0.1", description="Address that /healthz, /readyz and /metrics listen on.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged, and what is worse."
    )


S = TypeVar("S", bound=Settings)


def load(settings: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Read `settings` from the environment.

    Raises ConfigError, naming the variable, for a value that does not hold and for an EDDY_* name that nobody knows.
    """
    names = os.environ if environment is None else environment
    unknown = [name for name in names if name.startswith(PREFIX) and not _known(name, settings)]
    if unknown:
        raise ConfigError(f"unknown setting {unknown[0]}: known are {', '.join(sorted(_names(settings)))}")
    values = {name[len(PREFIX) :].lower(): value for name, value in names.items() if name in _names(settings)}
    try:
        return settings(**values)  # type: ignore[arg-type]  # pydantic parses the strings
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{PREFIX}{str(first['loc'][0]).upper()}: {first['msg']}") from error


def _names(settings: type[Settings]) -> set[str]:
    return {PREFIX + field.upper() for field in settings.model_fields}


def _known(name: str, settings: type[Settings]) -> bool:
    own = {field.split("_")[0] for field in set(settings.model_fields) - set(Settings.model_fields)}
    others = tuple(f"{PREFIX}{service.upper()}_" for service in SERVICES if service not in own)
    return name in _names(settings) or name.startswith(others)
