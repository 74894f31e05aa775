#!/bin/sh
# `clickhouse-client --query 'SELECT 1'`, as the health check asks; user and password come from the environment.
exec /opt/stand-in/bin/python -c '
import os
from urllib.parse import quote
from pytest_dpone.services.ask import ask
user, password = (quote(os.environ["CLICKHOUSE_" + name], safe="") for name in ("USER", "PASSWORD"))
print(ask("clickhouse", f"clickhouse://{user}:{password}@127.0.0.1:8123").version)
'
