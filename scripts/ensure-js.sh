#!/usr/bin/env bash
# ensure-js.sh: .node/device.js, the page script that is the Matrix user of browser tests: matrix-js-sdk from npm, bundled
# by esbuild, both pinned in tests/calls/js/package.json. Quick when nothing has changed. Scripts of packages are not run.
# Nothing of it is committed or shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
source=tests/calls/js cache=.node

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9

if ! cmp -s "$source/package.json" "$cache/.installed"; then
    command -v npm >/dev/null || { echo "npm is missing (Debian: apt-get install npm)" >&2; exit 1; }
    cp "$source/package.json" "$cache/package.json"
    log=$(npm --prefix "$cache" install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error 2>&1) ||
        { echo "$log" >&2; echo "npm could not install what $source/package.json names" >&2; exit 1; }
    rm -f "$cache/device.js"
    cp "$source/package.json" "$cache/.installed"
fi
if [[ ! "$cache/device.js" -nt "$source/device.js" ]]; then
    # The SDK speaks of `global` as Node does.
    bundler=$(echo "$cache"/node_modules/@esbuild/*/bin/esbuild)
    NODE_PATH=$PWD/$cache/node_modules "$bundler" "$source/device.js" --bundle --format=esm --platform=browser \
        --define:global=window --log-level=warning --outfile="$cache/device.tmp.js"
    mv "$cache/device.tmp.js" "$cache/device.js"
fi
