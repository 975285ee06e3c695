#!/bin/sh
# Compares the pinned dependencies with known vulnerabilities (pip-audit's advisory database): `make audit`.
# Exit code 1 where there is one, 2 where the database cannot be asked.
set -eu
cd "$(dirname "$0")/.."
audit="$1/pip-audit --progress-spinner off --disable-pip"
# A mirror of the index may answer but know no advisories, and pip-audit passes what it cannot find. So it is first asked about a release
# whose vulnerability is known (CVE-2018-18074): whoever does not name it knows nothing.
probe=$(mktemp)
trap 'rm -f "$probe"' EXIT
echo "requests==2.19.0" >"$probe"
if ! { timeout 60 $audit --no-deps --requirement "$probe" 2>/dev/null || true; } | grep -q 2.20; then
    echo "cannot audit: the advisory database does not answer from here; run make audit where it does" >&2
    exit 2
fi
# shellcheck disable=SC2086 # words are meant to be split
$audit --strict --require-hashes --requirement requirements/base.txt --requirement requirements/torch.txt
