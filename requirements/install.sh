#!/bin/sh
# Makes the virtual environment and installs what is pinned, each file checked against its hash: `make install`.
#
#   PYTHON=python3 VENV=.venv TORCH=cpu|cuda requirements/install.sh PACKAGE...     the packages are installed editable
#
# TORCH: PyTorch's small CPU build has no hash here, since it comes from PyTorch's own index; its version is the pinned one. Without TORCH,
# it is taken where that index can be reached, else the usual build, which comes with its CUDA libraries.
set -eu
cd "$(dirname "$0")/.."
started=$(date +%s)

fail() {
    echo "$*" >&2
    exit 1
}
one() { # the lines of one package in base.txt
    awk -v name="$1" '/^[a-z]/ { keep = index($0, name "==") == 1 } keep' requirements/base.txt
}

test -n "${PYTHON:-}" || fail "Eddy needs Python 3.11 or later: install it, or say make PYTHON=/path/to/python"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Eddy needs Python 3.11 or later, $PYTHON is not: say make PYTHON=/path/to/python"
test -x "$VENV/bin/pip" || "$PYTHON" -m venv --clear "$VENV" || {
    rm -rf "$VENV"
    fail "cannot make $VENV: install your system's python3-venv package, or free some disk space"
}
export VIRTUAL_ENV="$PWD/$VENV" PATH="$PWD/$VENV/bin:$PATH"

count=$(grep -c '^[a-z]' requirements/base.txt)

sorry="cannot install the dependencies: check the network and the disk space, then try again"
one uv >"$VENV/uv.txt"
echo "Installing Eddy into $VENV ($(python --version)) and some $count dependencies, pinned by hash ..."
python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$VENV/uv.txt" || fail "$sorry"
quietly() {
    uv pip install --quiet --no-deps "$@" || fail "$sorry"
}
torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements/torch.txt)
reachable() {
    UV_HTTP_RETRIES=0 UV_HTTP_TIMEOUT=5 uv pip install --quiet --dry-run --reinstall-package torch --no-deps --torch-backend cpu "$torch" 2>/dev/null
}
test -n "${TORCH:-}" || TORCH=$(reachable && echo cpu || echo cuda)
echo "PyTorch: its $TORCH build, $(test "$TORCH" = cpu && echo "without CUDA libraries" || echo "some 6 GB, since the index of the small CPU build cannot be reached or TORCH=cuda asks for it")."
if test "$TORCH" = cpu; then
    quietly --torch-backend cpu "$torch"
    quietly --compile-bytecode --require-hashes --requirements requirements/base.txt
else
    quietly --compile-bytecode --require-hashes --requirements requirements/base.txt --requirements requirements/torch.txt
fi
for package; do set -- "$@" --editable "$package"; shift; done
quietly --no-build-isolation "$@"
echo "Installed in $(($(date +%s) - started)) s: $(du -sh "$VENV" | cut -f1) in $VENV. Try \`make demo\`; $VENV/bin/eddy doctor looks at this machine."
