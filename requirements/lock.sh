#!/bin/sh
# Pins every dependency by hash, for Python 3.11 and later: `make lock`, UPGRADE=1 for the newest versions.
# torch and what only its CUDA build needs stand in a file of their own, since its small CPU build comes from another index.
set -eu
cd "$(dirname "$0")/.."
UV=$1
mine=$(for name in core gateway features scorer joiner trainer cli lab; do echo "--no-emit-package eddy-$name"; done)
cat requirements/*.txt >requirements/.all 2>/dev/null || true
# shellcheck disable=SC2086 # words are meant to be split
"$UV" pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet ${UPGRADE:+--upgrade} \
    --group dev --all-extras shared/pyproject.toml services/*/pyproject.toml cli/pyproject.toml lab/pyproject.toml \
    $mine --output-file requirements/.all
split() { # lines of the named packages (1: of all others) and the hashes below them
    awk -v others="$1" '/^[a-z]/ { torch = /^(torch|triton|nvidia-|cuda-)/; keep = others ? !torch : torch } keep' requirements/.all
}
split 1 >requirements/base.txt
split 0 >requirements/torch.txt
rm requirements/.all
