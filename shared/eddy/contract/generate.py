"""Generates eddy/contract/records.py, the records of schemas/ as typed dictionaries: `python -m eddy.contract.generate`."""

import json
import textwrap
from pathlib import Path
from typing import Any

from eddy.paths import SCHEMAS

TARGET = Path(__file__).with_name("records.py")
WIDTH = 120
INDENT = "    "

_HEAD = '''"""The records of schemas/ as typed dictionaries, one class per record, which codecs encode and decode.

Generated from the .avsc files. Edit those, then run `python -m eddy.contract.generate` (`make docs` does too).
"""

from typing import TypedDict
'''
_PLAIN = {
    "string": "str",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "boolean": "bool",
    "bytes": "bytes",
}


def generated() -> str:
    """The text of records.py. A record comes after the records that it contains."""
    classes: dict[str, str] = {}
    for path in sorted(SCHEMAS.glob("*.avsc"), key=lambda path: (path.stem != "history", path.stem)):
        _add(json.loads(path.read_text()), classes)
    return "\n\n".join([_HEAD, *classes.values()])


def _add(schema: dict[str, Any], classes: dict[str, str]) -> str:
    """Add a record's class to `classes`; returns its name."""
    lines = [f"class {schema['name']}(TypedDict):", *_doc(schema["doc"])]
    for field in schema["fields"]:
        lines += ["", f"{INDENT}{field['name']}: {_annotation(field['type'], classes)}", *_doc(field["doc"])]
    classes[schema["name"]] = "\n".join(lines) + "\n"
    return str(schema["name"])


def _annotation(kind: Any, classes: dict[str, str]) -> str:
    """The Python type that fastavro decodes an Avro type to."""
    if isinstance(kind, list):
        null, (some,) = "null" in kind, [branch for branch in kind if branch != "null"]
        return _annotation(some, classes) + (" | None" if null else "")
    if isinstance(kind, str):
        return _PLAIN.get(kind) or kind.removeprefix("eddy.")
    if kind["type"] == "array":
        return f"list[{_annotation(kind['items'], classes)}]"
    if kind["type"] == "map":
        return f"dict[str, {_annotation(kind['values'], classes)}]"
    return _add(kind, classes)


def _doc(text: str) -> list[str]:
    lines = _wrapped(f'"""{text}"""')
    if len(lines) > 1:
        lines = [*_wrapped(f'"""{text}'), '"""']
    return [INDENT + line for line in lines]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - len(INDENT), break_long_words=False, break_on_hyphens=False)


def main() -> None:
    TARGET.write_text(generated())


if __name__ == "__main__":
    main()
