#!/usr/bin/env bash
# Build the engine for 64-bit ARM, and run its tests there under qemu. On Debian 12, after
#
#   dpkg --add-architecture arm64 && apt-get update && apt-get install g++-aarch64-linux-gnu qemu-user-static
#
# PYTHON is a Python 3.11 with pip. $SLUICEGATE_PROGRAMS says how many random programs the engine is held against NumPy with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python}
arm=$PWD/build/arm root=$PWD/build/arm/root site=$PWD/build/arm/site
mkdir -p "$arm/debs" "$site"

if [[ ! -e $root/usr/bin/python3.11 ]]; then
  wanted=(python3.11-minimal:arm64 libpython3.11-stdlib:arm64 libpython3.11-dev:arm64 libstdc++6:arm64)
  packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "${wanted[@]}" | grep '^[a-z].*:arm64$' | grep -v '^dpkg' | sort -u)
  (cd "$arm/debs" && apt-get download $packages)
  for package in "$arm"/debs/*.deb; do dpkg -x "$package" "$root"; done
fi
"$python" -m pip install --quiet --upgrade --target "$arm/tools" nanobind
"$python" -m pip install --quiet --upgrade --target "$site" --only-binary :all: --python-version 3.11 \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 numpy pytest

cmake -S . -B "$arm/engine" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_CXX_FLAGS="-idirafter $root/usr/include" \
  -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -DPython_INCLUDE_DIR="$root/usr/include/python3.11" \
  -Dnanobind_ROOT="$(PYTHONPATH=$arm/tools "$python" -m nanobind --cmake_dir)"
cmake --build "$arm/engine" --target _engine --parallel 2
rm -rf "$site/sluicegate_runtime"
cp -r src/sluicegate_runtime "$site"
cp "$arm"/engine/_engine*.so "$site/sluicegate_runtime/_engine.so"

run() { qemu-aarch64-static -L "$root" -E PYTHONPATH="$site:tests" "$root/usr/bin/python3.11" "$@"; }
run -c 'import platform; from sluicegate_runtime import _engine; print(platform.machine(), _engine.isas())'
SLUICEGATE_PROGRAMS=${SLUICEGATE_PROGRAMS:-100} run -m pytest -q -rf -p no:cacheprovider tests/conformance
