#!/usr/bin/env bash
# Regenerates requirements/*.txt: one hashed lock per interpreter. Extra arguments go to uv (--upgrade, say).
# One universal lock would hold every Python back at the torch and numpy that Lava pins on 3.10.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(scripts/uv.sh)

# No index or link lines: a lock must not carry the addresses of the machine it was made on.
lock() {
    local version=$1 out=$2
    shift 2
    "$uv" pip compile --quiet --python-version "$version" --python-platform x86_64-manylinux_2_28 \
        --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        "$@" --output-file "requirements/$out"
}

mkdir -p requirements
networks=(--extra fast --extra torch --extra onnx --extra timm --extra hf --extra torchvision --extra events --extra cluster --extra plots) # what their tests need
lock 3.10 py310.txt --extra lava "${networks[@]}" --extra dev "$@" pyproject.toml
lock 3.10 py310-core.txt "${networks[@]}" --extra dev "$@" pyproject.toml
for version in 3.11 3.12 3.13; do
    lock "$version" "py${version/./}.txt" "${networks[@]}" --extra dev "$@" pyproject.toml
done
# What `make site` makes: the extra alone, whose tools read the package without importing it.
site='import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["site"]))'
"$(PYENV_VERSION=3.12 "$uv" python find --system --no-project 3.12)" -c "$site" | lock 3.12 site.txt "$@" -
# What `neurodeploy lava setup` makes: Lava, and what the process that runs it reads jobs with. It ships in the package.
printf '%s\n' lava-nc==0.10.0 'numpy<2' 'scipy>=1.10' 'h5py>=3.8' 'pydantic>=2.5' 'tomli>=2.0' 'setuptools<81' |
    lock 3.10 ../neurodeploy/backends/lava/requirements.txt "$@" -
# What `make test-libraries` puts before the environment: without what it needs, which the environment has.
printf '%s\n' spikingjelly==0.0.0.0.12 norse==1.1.0 nirtorch==2.6 | lock 3.10 libraries.txt --no-deps -
