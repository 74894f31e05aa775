#!/usr/bin/env bash
# Build the test images on debian:bookworm-slim; they need no image registry. Usage: build.sh [postgres|clickhouse|minio …]
# Without a name all are built. The stand-ins for ClickHouse and MinIO take the wheel of this source and those that it
# needs, for the Python of the base image, so this needs python3 with pip.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { docker build --quiet --network host --tag "$1" "$2"; }

# wheels FOLDER REQUIREMENT …: the wheel of this source and what is required, for Python 3.11 on this kind of processor.
wheels() {
  local into=$1 arch platforms=() tag
  shift
  arch=$(uname -m)
  for tag in manylinux_2_28 manylinux_2_17 manylinux2014; do platforms+=(--platform "${tag}_$arch"); done
  [ -e "$work/source" ] || "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/source" ../..
  mkdir -p "$into"
  "$python" -m pip download --quiet --dest "$into" --only-binary=:all: --python-version 3.11 --implementation cp \
    --abi cp311 --abi abi3 --abi none "${platforms[@]}" "$work"/source/*.whl "$@"
}

# stand_in NAME TAG REQUIREMENT …: build in a copy of the folder, which the wheels are put into.
stand_in() {
  local name=$1 tag=$2
  shift 2
  cp -R "$name" "$work/$name"
  wheels "$work/$name/wheels" "$@"
  build "$tag" "$work/$name"
}

[ $# -gt 0 ] || set -- postgres clickhouse minio
for name in "$@"; do
  case $name in
    postgres) build pytest-dpone-test/postgres:15 postgres ;;
    clickhouse) stand_in clickhouse pytest-dpone-test/clickhouse:stand-in chdb-core lz4 backports.zstd ;;
    minio) stand_in minio pytest-dpone-test/minio:stand-in 'moto[s3,server]' ;;
    schema_registry)
      stand_in schema_registry pytest-dpone-test/schema_registry:stand-in fastavro avro jsonschema jsoncompat
      ;;
    kafka) kafka/assemble.sh kafka/home; build pytest-dpone-test/kafka:4.1.1 kafka ;;
    *)
      echo "build.sh: no image '$name' here; known are: postgres clickhouse minio schema_registry kafka" >&2
      exit 4
      ;;
  esac
done
