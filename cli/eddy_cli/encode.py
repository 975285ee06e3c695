"""A record in Avro's JSON manner as the bytes that Kafka carries. For tools that send bytes, such as kcat."""

import json
from typing import Any

from eddy.contract.codec import Codec, load_schema
from eddy.errors import ConfigError
from eddy.paths import SCHEMAS


def encoded(name: str, text: str) -> bytes:
    """The message of the record in `text`; fields that have a default may be left out. Raises ConfigError, one line, for what is none."""
    defaults = {
        field["name"]: field["default"]
        for field in load_schema(SCHEMAS / f"{name}.avsc")["fields"]
        if "default" in field
    }
    try:
        record: dict[str, Any] = json.loads(text)
        return Codec.of(name).encode({**defaults, **record})
    except (ValueError, TypeError) as error:  # json's and fastavro's
        raise ConfigError(f"standard input is not a {name}: {str(error).splitlines()[0]}") from error
