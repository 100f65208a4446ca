#!/usr/bin/env bash
# ensure-tools.sh base|venv|test|container|screenshots: programs from outside PyPI that are needed, and are missing, get installed.
#   base  make, git and Python itself         (.ci/run, on a new machine)
#   venv  Debian's split-off venv module
#   container  buildah, podman, runc and debootstrap  (make container)
#   test  PostgreSQL's server binaries, strace, systemd-analyze, Chromium, npm (only to fetch what scripts/ensure-js.sh bundles)
#   screenshots  Chromium, and the fonts that the pictures in docs/ are made with
# As root on Debian or a relative it installs them, quietly; otherwise it says in words what to install. For `test`
# that is no failure: the tests that need the program skip themselves, or fail under CI=true.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }
have_chromium() { have chromium || have chromium-browser || have google-chrome; }
have_font() { have fc-list && [[ -n $(fc-list "$1") ]]; }
have_postgres() { have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

missing=()
case ${1:-} in
base)
    have make || missing+=(make)
    have git || missing+=(git)
    have "${PYTHON:-python3}" || missing+=(python3 python3-venv)
    ;;
venv) missing+=(python3-venv) ;;
test)
    have_postgres || missing+=(postgresql)
    have strace || missing+=(strace)
    have_chromium || missing+=(chromium)
    have systemd-analyze || missing+=(systemd)
    have npm || missing+=(npm)
    ;;
screenshots)
    have_chromium || missing+=(chromium)
    have_font Inter || missing+=(fonts-inter)
    have_font "Noto Color Emoji" || missing+=(fonts-noto-color-emoji)
    ;;
container)
    for program in buildah podman runc debootstrap; do
        have "$program" || missing+=("$program")
    done
    ;;
*)
    echo "usage: $0 base|venv|test|container|screenshots" >&2
    exit 2
    ;;
esac
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]] || ! have apt-get; then
    echo "missing: ${missing[*]}. Install it with your package manager (Debian: apt-get install ${missing[*]})." >&2
    [[ $1 == test ]] && echo "Until then the tests that need it are skipped, and fail where CI=true." >&2 && exit 0
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}
fail() {
    cat "$log" >&2
    echo "could not install with apt-get: ${missing[*]}" >&2
    exit 1
}

echo "installing ${missing[*]} with apt-get"
apt-get update -o DPkg::Lock::Timeout=300 >>"$log" 2>&1 || fail
if [[ " ${missing[*]} " == *" postgresql "* ]]; then
    # Debian's package makes and starts a server on port 5432 of its own accord. The tests want the binaries only: tell it
    # not to while it is being installed, and leave its configuration afterwards as it came.
    conf=/etc/postgresql-common/createcluster.conf
    install postgresql-common || fail
    cp -p "$conf" "$log.conf"
    trap 'mv -f "$log.conf" "$conf"; rm -f "$log"' EXIT
    printf 'create_main_cluster = false\n' >>"$conf"
fi
install "${missing[@]}" || fail
