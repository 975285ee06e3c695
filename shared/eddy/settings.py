"""Settings from EDDY_* environment variables: frozen, typed, and strict about names.

`EDDY_<NAME>` applies to every service (Settings below), `EDDY_<SERVICE>_<NAME>` to one service. The settings of a service subclass
Settings and add fields called `<service>_<name>`, so that one class reads both. pydantic-settings ignores misspelt
variables; `load` refuses them.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from eddy.contract.features import features_without
from eddy.contract.model import Columns
from eddy.contract.pseudonym import MIN_KEY_CHARS
from eddy.errors import ConfigError
from eddy.keys import PUBLIC_KEYS
from eddy.paths import SCENARIOS, STATE

PREFIX = "EDDY_"
SERVICES = ("features", "scorer", "joiner", "trainer", "gateway", "replay")
# Former names of settings, by their present ones. `load` accepts both.
FORMER_NAMES = {
    "EDDY_TRAINER_SHED_REHEARSAL_LAG": "EDDY_TRAINER_SHED_REPLAY_LAG",
    "EDDY_REPLAY_JOINER_URL": "EDDY_LAB_JOINER_URL",
    "EDDY_REPLAY_READY_URLS": "EDDY_LAB_READY_URLS",
}


class Settings(BaseSettings):
    """Settings of every service."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="Addresses of Kafka brokers: host:port, comma separated."
    )
    kafka_compression: Literal["none", "snappy", "lz4", "zstd"] = Field(
        "none",
        description="Compression of written records. It costs CPU on both sides and saves network and disk.",
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security protocol of the connection to Kafka."
    )
    kafka_ca: Path | None = Field(
        None, description="PEM file of the CA that signed the brokers' certificates; the system's CAs if not set."
    )
    kafka_certificate: Path | None = Field(None, description="PEM file of the client certificate, for mutual TLS.")
    kafka_key: Path | None = Field(None, description="PEM file of the client certificate's private key.")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, if EDDY_KAFKA_SECURITY begins with SASL."
    )
    kafka_username: str = Field("", description="SASL user name.")
    kafka_password: SecretStr = Field(SecretStr(""), description="SASL password.")
    pseudonym_key: SecretStr = Field(
        SecretStr(""),
        description=f"Secret of at least {MIN_KEY_CHARS} characters. If set, the gateway replaces user ids by keyed pseudonyms: no topic, "
        "checkpoint or log has a raw id (docs/erasure.md).",
    )
    bound_newcomers: bool = Field(
        True,
        description="Whether it is bounded what users who are not known yet count for items and teach the model. Switch it off only where "
        "an account costs its owner something.",
    )
    user_expiry_days: float = Field(
        365.0,
        ge=0,
        description="Days of event time after which a user without events is forgotten; 0 keeps users for ever.",
    )
    item_expiry_days: float = Field(
        365.0,
        ge=0,
        description="Days of event time after which the counts of an item without events are forgotten, and an unpublished item entirely; "
        "0 keeps them for ever.",
    )
    schema_registry_url: str | None = Field(
        None,
        pattern="^https?://[^/]",
        description="URL of a schema registry with Confluent's API. If set, records are written in Confluent's wire format; "
        "both framings are always read.",
    )
    topic_prefix: str = Field(
        "",
        description="Prefix of every topic, consumer group and transactional id, so that several Eddys can share one Kafka.",
    )
    topic_replication: int = Field(1, ge=1, description="Replication factor of topics that Eddy creates.")
    topic_partitions: int | None = Field(
        None,
        ge=1,
        description="Partitions per topic, used when the topics are created; those of schemas/topics.yaml if not set.",
    )
    scenarios_path: Path = Field(SCENARIOS, description="Path of the scenarios file.")
    text_model: str = Field(
        "minilm",
        description="Text model that embeds the words of items: minilm (packaged), a folder with model.onnx and tokenizer.json, or "
        "empty for none.",
    )
    ranking_features_off: str = Field(
        "",
        description="Names of ranking features to disable in scorer and trainer, comma separated.",
    )
    release_public_keys: Path = Field(
        PUBLIC_KEYS,
        description="PEM file of the public keys whose releases scorer and trainer accept; several while one replaces another.",
    )
    poison_limit: int = Field(
        10_000,
        ge=0,
        description="Consecutive unusable records of a partition after which a service stops instead of skipping them; 0 is no limit.",
    )
    state_dir: Path = Field(STATE, description="Folder for local state. Safe to delete while the service is stopped.")
    http_host: str = Field(
        "127.0.0.1", description="Address that the HTTP server binds to, for /healthz, /readyz and /metrics."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum log level.")

    @field_validator("ranking_features_off")
    @classmethod
    def _check_feature_names(cls, value: str) -> str:
        features_without(value.split(","))
        return value

    @field_validator("pseudonym_key")
    @classmethod
    def _check_pseudonym_key(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < MIN_KEY_CHARS:
            raise ValueError(f"a key of pseudonyms has at least {MIN_KEY_CHARS} characters")
        return value

    @property
    def columns(self) -> Columns:
        """The enabled ranking features, and all actions."""
        return Columns(features_without(self.ranking_features_off.split(",")))


S = TypeVar("S", bound=Settings)


def load(settings: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Read `settings` from the environment.

    Former names are accepted. Raises ConfigError, naming the variable, for an invalid value, for an unknown EDDY_* variable, and for one
    that is set under both its names.
    """
    given = os.environ if environment is None else environment
    names = _with_present_names(given)
    unknown = [name for name in names if name.startswith(PREFIX) and not _is_setting(name, settings)]
    if unknown:
        matches = get_close_matches(unknown[0], sorted(_names(settings)), n=1)
        hint = f" Did you mean {matches[0]}?" if matches else ""
        raise ConfigError(f"unknown setting {unknown[0]}.{hint} docs/settings.md lists all settings.")
    values = {name[len(PREFIX) :].lower(): value for name, value in names.items() if name in _names(settings)}
    try:
        return settings(**values)  # type: ignore[arg-type]  # pydantic parses the strings
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{str(first['loc'][0]).upper()}"
        former = FORMER_NAMES.get(name, "")
        raise ConfigError(f"{former if former in given else name}: {first['msg']}") from error


def _with_present_names(environment: Mapping[str, str]) -> dict[str, str]:
    names = dict(environment)
    for present, former in FORMER_NAMES.items():
        if former in names:
            if present in names:
                raise ConfigError(f"{present} and {former}, its former name, are both set. Remove {former}.")
            names[present] = names.pop(former)
    return names


def _names(settings: type[Settings]) -> set[str]:
    return {PREFIX + field.upper() for field in settings.model_fields}


def _is_setting(name: str, settings: type[Settings]) -> bool:
    own_services = {field.split("_")[0] for field in set(settings.model_fields) - set(Settings.model_fields)}
    other_prefixes = tuple(f"{PREFIX}{service.upper()}_" for service in SERVICES if service not in own_services)
    return name in _names(settings) or name.startswith(other_prefixes)
