#!/bin/sh
# Installs the pinned dependencies, each checked against its hash: install.sh cpu|cuda FILE... into the active virtual environment.
# The CPU build of torch has no hash here, since it comes from PyTorch's own index; its version is the pinned one.
set -eu
build=$1
shift
here=$(dirname "$0")
for file; do set -- "$@" --requirements "$file"; shift; done
case $build in
cpu)
    uv pip install --quiet --compile-bytecode --torch-backend cpu "$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$here/torch.txt")"
    uv pip install --compile-bytecode --require-hashes --no-deps "$@"
    ;;
*) uv pip install --compile-bytecode --require-hashes "$@" --requirements "$here/torch.txt" ;;
esac
