#!/bin/sh
# `mc ls ALIAS`, as the health check asks: lists the buckets at the address in MC_HOST_ALIAS.
[ "${1:-}" = ls ] || { echo 'usage: mc ls ALIAS' >&2; exit 1; }
exec /opt/stand-in/bin/python -c '
import os, sys
from pytest_dpone.services.ask import ask
print(ask("minio", os.environ["MC_HOST_" + sys.argv[1]].replace("http://", "s3://", 1)).product)
' "$2"
