"""Encodes records from JSON as Kafka messages, for tools such as kcat."""

import json
from typing import Any

from eddy.contract.codec import Codec, load_schema
from eddy.errors import ConfigError
from eddy.paths import SCHEMAS


def encoded(name: str, text: str) -> bytes:
    """The message of the JSON record in `text`; fields with a default may be left out. Raises ConfigError, one line, if invalid."""
    defaults = {
        field["name"]: field["default"]
        for field in load_schema(SCHEMAS / f"{name}.avsc")["fields"]
        if "default" in field
    }
    try:
        record: dict[str, Any] = json.loads(text)
        return Codec.of(name).encode({**defaults, **record})
    except (ValueError, TypeError) as error:  # json's and fastavro's
        raise ConfigError(f"standard input is not a valid {name}: {str(error).splitlines()[0]}") from error
