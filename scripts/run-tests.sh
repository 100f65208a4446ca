#!/usr/bin/env bash
# run-tests.sh PYTHON: the whole suite, as two runs of pytest side by side. In one of them a real homeserver works, and the
# tests wait for it most of the time; the other keeps the machine's second core busy meanwhile. Each has servers of its
# own. What the second one printed stands behind the first one's. Fails if either does.
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1

served=(tests/acceptance tests/calls)
others=()
for path in tests/*/ tests/test_*.py; do
    path=${path%/}
    [[ " ${served[*]} " == *" $path "* || $path == */__pycache__ ]] || others+=("$path")
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$python" -m pytest "${others[@]}" >"$log" 2>&1 &
other=$!
trap 'kill "$other" 2>/dev/null; wait "$other"; exit 130' INT TERM
"$python" -m pytest "${served[@]}"
first=$?
wait "$other"
second=$?
cat "$log"
((first == 0 && second == 0))
