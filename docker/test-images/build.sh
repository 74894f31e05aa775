#!/usr/bin/env bash
# Build the test images on debian:bookworm-slim; they need no registry. Usage: build.sh [image …]
set -euo pipefail
cd "$(dirname "$0")"
build() { docker build --quiet --network host --tag "$1" "$2"; }
for image in "${@:-postgres}"; do
  case $image in
    postgres) build pytest-dpone-test/postgres:15 postgres ;;
    kafka) kafka/assemble.sh kafka/home; build pytest-dpone-test/kafka:4.1.1 kafka ;;
    *) echo "build.sh: no image '$image' here; known are: postgres, kafka" >&2; exit 4 ;;
  esac
done
