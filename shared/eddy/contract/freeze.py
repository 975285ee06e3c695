"""Saves changed schemas as new frozen versions: `python -m eddy.contract.freeze`."""

import json

from fastavro.schema import to_parsing_canonical_form

from eddy.contract.codec import former_versions, load_schema
from eddy.paths import SCHEMAS


def main() -> None:
    for path in sorted(SCHEMAS.glob("*.avsc")):
        schema = load_schema(path)
        versions = former_versions(path.stem)
        if versions and to_parsing_canonical_form(load_schema(versions[-1])) == to_parsing_canonical_form(schema):
            continue
        plain = {key: value for key, value in schema.items() if not key.startswith("__")}
        frozen = SCHEMAS / "versions" / f"{path.stem}.{len(versions) + 1}.avsc"
        frozen.write_text(json.dumps(plain, indent=1) + "\n")
        print(f"froze {frozen.name}")


if __name__ == "__main__":
    main()
