#!/usr/bin/env bash
# Builds the wheel and tries it as a user would: scripts/try_wheel.sh PYTHON [PYTHON ...], such as 3.12 newest
# For each a fresh environment with what the wheel asks for and no more, an unrelated folder, and no HOME.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD uv=$(scripts/uv.sh)
most_wheel=25 most_installed=300 # MB

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

# hatchling is locked with the development tools: building needs no download.
builder=$(for v in "${VENV:-.venv}" .venv; do [ -x "$v/bin/python" ] && echo "$v/bin/python" && break; done)
"$builder" -m hatchling build --target wheel --directory "$place/dist" >/dev/null 2>&1
wheel=$(ls "$place"/dist/*.whl)
size=$(du -m "$wheel" | cut -f1)
echo "wheel: $(basename "$wheel"), $size MB"
[ "$size" -lt "$most_wheel" ] || { echo "wheel: more than $most_wheel MB" >&2; exit 1; }

find_python() {
    PYENV_VERSION=$1 "$uv" python find --system --no-project --no-python-downloads "$1" 2>/dev/null
}

try() {
    local base=$1 version venv lock run
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    venv=$place/$version lock=requirements/py${version/./}.txt
    [ ! -d "$venv" ] || return 0 # the newest is one of those that were named
    "$uv" venv --quiet --no-project --python "$base" "$venv"
    # The versions that the tests know, where the lock is for this machine; --find-links, index and proxy are uv's own.
    local held=()
    [ "$(uname -sm)" = "Linux x86_64" ] && held=(--constraint "$lock")
    UV_COMPILE_BYTECODE=0 "$uv" pip install --quiet --python "$venv" "${held[@]}" "$wheel"
    size=$(du -sm "$venv" | cut -f1) # before Python compiles what is imported
    echo "Python $version: $size MB installed"
    [ "$size" -lt "$most_installed" ] || { echo "more than $most_installed MB" >&2; return 1; }

    mkdir -p "$place/elsewhere-$version"
    cp tests/data/nir/norse_conv.nir "$place/elsewhere-$version/small.nir"
    cd "$place/elsewhere-$version"
    run() { env -u HOME -u PYTHONPATH XDG_CACHE_HOME="$place/cache-$version" "$venv/bin/$1" "${@:2}"; }
    ! run python -c 'import torch' 2>/dev/null || { echo "torch came along" >&2; return 1; }
    run neurodeploy doctor | sed -n '1,/^extra/p'
    run neurodeploy build small.nir --eval 4 --verify 2 --out small -q | grep '^Fits  *yes'
    run neurodeploy build digits-vit --method ecmt -T 2 --eval 40 --verify 2 --out vit -q |
        grep -E '^(Import|Fits|Accuracy|Bit-true)'
    run neurodeploy verify vit --samples 2 >/dev/null
    run neurodeploy export small --to nir --out again.nir >/dev/null
    test -s vit/report.html -a -s again.nir
    [[ $(run neurodeploy check cifar10-sdt1 2>&1) == *"copy models/weights/apart/cifar10-sdt1.safetensors"* ]]
    cd "$root"
}

for wanted in "$@"; do
    if [ "$wanted" = newest ]; then
        for candidate in 3.13 3.12 3.11 3.10; do
            base=$(find_python "$candidate") && break
        done
        try "$base"
    elif base=$(find_python "$wanted"); then
        try "$base"
    else
        echo "skipped: no Python $wanted here"
    fi
done
