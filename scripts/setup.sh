#!/usr/bin/env bash
# Makes the environment that the Makefile works in: scripts/setup.sh VENV full|core|light [PYTHON]
#   full  Python 3.10 with Lava (falls back, and says so, where there is no Python 3.10)
#   core  the newest Python found, without Lava
#   light the same, with what `pip install neurodeploy` brings and no more: neither torch nor what tests need
# Everything lands in the project folder, besides uv's and pip's ordinary caches.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1 extras=$2 python=${3:-}
uv=$(scripts/uv.sh)

# pyenv's shims answer only for the version pyenv has selected, hence PYENV_VERSION; elsewhere it means nothing.
# --system: an environment made earlier must not be taken for an installed Python.
find_python() {
    PYENV_VERSION=$1 "$uv" python find --system --no-project --no-python-downloads "$1" 2>/dev/null
}

first_python() {
    local version
    for version in "$@"; do
        find_python "$version" && return
    done
    return 1
}

if [ -n "$python" ]; then
    base=$(find_python "$python") || { echo "setup: no Python $python found" >&2; exit 1; }
elif [ "$extras" != full ]; then
    base=$(first_python 3.13 3.12 3.11 3.10) || base=
elif base=$(find_python 3.10); then
    :
elif UV_PYTHON_INSTALL_DIR=$PWD/.tools/python "$uv" python install --quiet --no-bin 3.10 2>/dev/null; then
    base=$(UV_PYTHON_INSTALL_DIR=$PWD/.tools/python "$uv" python find --system --no-project --managed-python 3.10)
else
    base=$(first_python 3.13 3.12 3.11) || base=
fi
[ -n "$base" ] || { echo "setup: needs a Python from 3.10 to 3.13 and found none" >&2; exit 1; }

version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
lock=requirements/py${version/./}.txt
if [ "$version" = 3.10 ] && [ "$extras" = core ]; then
    lock=requirements/py310-core.txt
elif [ "$version" != 3.10 ] && [ "$extras" = full ]; then
    echo "setup: using Python $version, so the Lava backend is missing (Lava runs on Python 3.10 alone)." >&2
    echo "setup: install Python 3.10 and run 'make distclean setup' for the full environment." >&2
fi

rm -f "$venv"/.ready-*
have=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
if [ "$have" != "$version" ]; then
    "$uv" venv --quiet --clear --no-project --python "$base" "$venv"
fi

# Compiled once here rather than at the first import, or at every import where Python may not write bytecode.
export UV_COMPILE_BYTECODE=1
locked=$([ "$(uname -sm)" = "Linux x86_64" ] && echo yes || true)
if [ "$extras" = light ]; then
    # The versions of the lock, of fewer packages.
    held=(${locked:+--constraint "$lock" --build-constraint "$lock"})
    "$uv" pip install --quiet --python "$venv" "${held[@]}" --editable .
elif [ -n "$locked" ]; then
    "$uv" pip sync --quiet --python "$venv" --require-hashes "$lock"
    "$uv" pip install --quiet --python "$venv" --no-deps --no-build-isolation --editable .
else
    echo "setup: the locks are made for Linux on x86-64; resolving from pyproject.toml instead." >&2
    [ "$extras" = core ] && wanted=dev || wanted=dev,lava
    "$uv" pip install --quiet --python "$venv" --editable ".[$wanted]"
fi
touch "$venv/.ready-$extras"
echo "setup: $venv is ready (Python $version, $extras, $(du -sh "$venv" | cut -f1))"
