#!/usr/bin/env bash
# Prints the path of a usable uv; installs one with pip into .tools where the machine has none.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
local_uv=$root/.tools/uv/bin/uv

if [ -x "$local_uv" ]; then
    echo "$local_uv"
elif command -v uv >/dev/null && uv --version >/dev/null 2>&1; then
    command -v uv
else
    echo "setup: no uv found, installing it into .tools" >&2
    # From /: inside the project, pyenv would insist on the version named in .python-version.
    (cd / && python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location \
        --root-user-action=ignore --upgrade --target "$root/.tools/uv" 'uv>=0.8,<1') >&2
    echo "$local_uv"
fi
