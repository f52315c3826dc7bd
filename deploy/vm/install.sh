#!/usr/bin/env bash
# Installs Reprise on a machine with systemd, from a checkout that has been built.
#
#   sudo deploy/vm/install.sh coordinator            program, user, reprise.service
#   sudo deploy/vm/install.sh worker                 program, reprise-worker@.service
#   sudo deploy/vm/install.sh worker --torch         with reprise-torch and libtorch: real training
#   sudo deploy/vm/install.sh worker --cuda          with the libtorch that uses NVIDIA GPUs
#   sudo deploy/vm/install.sh remove                 all of it, but not /var/lib and /etc/reprise
#
# Running it again upgrades the programs and keeps every setting. It starts
# nothing: the README beside it has the next steps. DESTDIR=DIR installs below DIR
# and makes no users, for packages and tests.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
built=$root/target/release
dest=${DESTDIR:-}
readonly torch_version=2.11.0

say() { printf 'install: %s\n' "$*" >&2; }
die() { printf 'install: error: %s\n' "$*" >&2; exit 1; }

usage() { die "usage: install.sh coordinator | worker [--torch | --cuda] | remove"; }

program() { # name target of make
    [ -x "$built/$1" ] || die "no program at \`$built/$1\`; run \`make $2\` in $root first, as yourself"
    install -D -m 0755 "$built/$1" "$dest/usr/local/bin/$1"
}

user() { # name
    [ -z "$dest" ] || return 0
    id "$1" >/dev/null 2>&1 ||
        useradd --system --user-group --no-create-home --home-dir "/var/lib/$1" --shell /usr/sbin/nologin "$1"
    install -d -o "$1" -g "$1" -m 0700 "/var/lib/$1"
}

# Writes standard input to a settings file that is not there yet.
settings() { # path
    local path=$dest$1
    install -d -m 0755 "$dest/etc/reprise"
    if [ ! -e "$path" ]; then
        (umask 0077 && cat >"$path")
    fi
}

reload() {
    # Not while an image is being built, where systemd does not run.
    if [ -z "$dest" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
}

# Puts torch/lib and nvidia/ side by side: the libraries look for each other so.
libtorch() { # directory that holds torch/
    local target=$dest/usr/local/lib/reprise fresh
    fresh=$target.new
    rm -rf "$fresh"
    install -d -m 0755 "$fresh/torch"
    cp -a "$1/torch/lib" "$fresh/torch/lib"
    [ ! -d "$1/nvidia" ] || cp -a "$1/nvidia" "$fresh/nvidia"
    chmod -R u=rwX,go=rX "$fresh"
    [ -n "$dest" ] || chown -R root:root "$fresh"
    rm -rf "$target"
    mv "$fresh" "$target"
}

cuda_libtorch() {
    python3 -m pip --version >/dev/null 2>&1 || die "\`pip\` is missing; install it with: sudo apt-get install python3-pip"
    local work
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/reprise-torch.XXXXXX")
    # shellcheck disable=SC2064 # the directory of now, not of later
    trap "rm -rf '$work'" EXIT
    say "fetching torch $torch_version with CUDA, several GB"
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --root-user-action ignore \
        --target "$work" "torch==$torch_version"
    libtorch "$work"
}

cpu_libtorch() {
    local link=$root/.libtorch
    [ -e "$link/lib/libtorch_cpu.so" ] || die "no libtorch at \`$link\`; run \`deploy/libtorch.sh\` first, as yourself"
    libtorch "$(dirname "$(readlink -f "$link")")"
}

coordinator() {
    program reprise build
    user reprise
    install -D -m 0644 "$here/reprise.service" "$dest/etc/systemd/system/reprise.service"
    settings /etc/reprise/coordinator.env <<'ENV'
# Options of `reprise serve` beyond --listen and --state, for example
# --database postgres://reprise@db.example.org/reprise --artifacts s3://bucket/prefix
REPRISE_SERVE_ARGS=
# The database's password and the object store's keys stay off the command line:
#PGPASSWORD=
#AWS_ACCESS_KEY_ID=
#AWS_SECRET_ACCESS_KEY=
#AWS_REGION=
#AWS_ENDPOINT_URL=
ENV
    reload
    say "coordinator installed; next: reprise serve --init (see $here/README.md)"
}

worker() { # [--torch | --cuda]
    case ${1:-} in
        '') ;;
        --torch) cpu_libtorch ;;
        --cuda) cuda_libtorch ;;
        *) usage ;;
    esac
    [ -z "${1:-}" ] || program reprise-torch torch
    program reprise-worker build
    user reprise-worker
    install -D -m 0644 "$here/reprise-worker@.service" "$dest/etc/systemd/system/reprise-worker@.service"
    settings /etc/reprise/worker.env <<'ENV'
# Where the coordinator listens; several addresses, separated by commas, for a
# coordinator with standbys.
REPRISE_COORDINATOR=https://localhost:7440
# Further options, for example --slots 4
REPRISE_WORKER_ARGS=
ENV
    reload
    say "worker installed; next: its credential /etc/reprise/worker.pem (see $here/README.md)"
}

remove() {
    if [ -z "$dest" ]; then
        systemctl stop 'reprise-worker@*.service' reprise.service 2>/dev/null || true
        systemctl disable reprise.service 2>/dev/null || true
        rm -f /etc/systemd/system/multi-user.target.wants/reprise-worker@*.service
    fi
    rm -rf "$dest/usr/local/lib/reprise"
    rm -f "$dest/usr/local/bin/reprise" "$dest/usr/local/bin/reprise-worker" "$dest/usr/local/bin/reprise-torch" \
        "$dest/etc/systemd/system/reprise.service" "$dest/etc/systemd/system/reprise-worker@.service"
    reload
    say "removed; state is still in /var/lib/reprise and /var/lib/reprise-worker, settings in /etc/reprise"
}

[ $# -ge 1 ] || usage
[ -n "$dest" ] || [ "$(id -u)" = 0 ] || die "run it with sudo"
case $1 in
    coordinator | worker | remove) "$@" ;;
    *) usage ;;
esac
