"""`python -m eddy_cli.encode user_event < event.json > event.avro`: a record in Avro's JSON manner as the bytes that Kafka carries.

For tools that send bytes, such as kcat. Fields that have a default may be left out.
"""

import argparse
import json
import sys
from typing import Any

from eddy.contract.codec import Codec, load_schema
from eddy.errors import ConfigError
from eddy.paths import SCHEMAS
from eddy_cli.console import run_command


def main() -> None:
    """Read one record from standard input, write its message to standard output."""
    records = sorted(path.stem for path in SCHEMAS.glob("*.avsc"))
    parser = argparse.ArgumentParser(prog="python -m eddy_cli.encode", description=__doc__)
    parser.add_argument("record", choices=records)
    name = parser.parse_args().record
    sys.stdout.buffer.write(encoded(name, sys.stdin.read()))


def encoded(name: str, text: str) -> bytes:
    """The message of the record in `text`. Raises ConfigError, one line, for what is none."""
    defaults = {
        field["name"]: field["default"]
        for field in load_schema(SCHEMAS / f"{name}.avsc")["fields"]
        if "default" in field
    }
    try:
        record: dict[str, Any] = json.loads(text)
        return Codec.of(name).encode({**defaults, **record})
    except (ValueError, TypeError) as error:  # json's and fastavro's
        raise ConfigError(f"that is no {name}: {str(error).splitlines()[0]}") from error


if __name__ == "__main__":
    run_command("encode", main)
