"""Lets the engine `command` run the pipeline: a job comes in on standard input, facts go out on standard output."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import redirect_stdout

SUPPORTS = [
    {"case": "postgres_to_postgres__full_refresh", "status": "supported", "own_columns": ["_dlt_*"]},
]

job = json.loads(sys.stdin.readline())
if job.get("ask") == "supports":
    print(json.dumps({"supports": SUPPORTS}))
    sys.exit()

with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
    # A folder of its own for each run; what dlt has to remember it finds in the sink.
    os.environ.update(DLT_DATA_DIR=folder, DLT_PROJECT_DIR=folder, RUNTIME__DLTHUB_TELEMETRY="false")
    os.environ.update(DESTINATION__POSTGRES__REPLACE_STRATEGY="staging-optimized")
    import orders

    source, sink = job["source"], job["sink"]
    rows = orders.load(source["url"], source["namespace"], source["table"], sink["url"], sink["namespace"])

print(json.dumps({"read": rows, "written": rows}))
