#!/usr/bin/env bash
# make-venv.sh PYTHON DIR: a virtual environment in DIR with this project (editable), with what tests and docs need.
# Quiet when all goes well; installs Debian's venv package when it is missing and we are root.
set -euo pipefail
python=$1 venv=$2

if ! command -v "$python" >/dev/null; then
    echo "bridgekit needs Python 3.11 or newer, and there is no '$python' here." >&2
    echo "Install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "bridgekit needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1)." >&2
    echo "Name another one: make PYTHON=/path/to/python3" >&2
    exit 1
fi

# A venv that lost its interpreter or was interrupted half-way is made anew.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        "$(dirname "$0")/ensure-tools.sh" venv
    fi
    echo "making $venv (once, a minute or two)"
    "$python" -m venv --clear "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[test,docs]'
