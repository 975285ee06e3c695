#!/bin/sh
# Compares the pinned dependencies with known vulnerabilities (PyPI's advisory database, $ADVISORIES): `make audit`.
# Exit code 1 where there is one, 2 where the database cannot be asked.
set -eu
cd "$(dirname "$0")/.."
BIN=$1
# A mirror of the index may answer but know no advisories, and pip-audit would pass what it cannot find: so one known version is asked about.
pinned=$(sed -n 's/^pip==\([^ ]*\).*/\1/p' requirements/base.txt)
"$BIN/python" -c "import json, urllib.request as r; json.load(r.urlopen('$ADVISORIES/pip/$pinned/json', timeout=10))['vulnerabilities']" \
    2>/dev/null || {
    echo "cannot audit: the advisory database ($ADVISORIES) does not answer from here; run make audit where it does" >&2
    exit 2
}
exec "$BIN/pip-audit" --strict --progress-spinner off --disable-pip --require-hashes \
    --requirement requirements/base.txt --requirement requirements/torch.txt
