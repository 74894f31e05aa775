"""Write the JSON Schemas of the gates' documents beside this file: `python docs/schemas/generate.py`."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_dpone.core.gates.documents import json_schemas
from pytest_dpone.core.gates.policy import policy_schema
from pytest_dpone.evidence.statements import certification_schema

FOLDER = Path(__file__).parent


def texts() -> dict[str, str]:
    """File name → text."""
    schemas = {
        **json_schemas(),
        "connector_certification.schema.json": certification_schema(),
        "verification_policy.schema.json": policy_schema(),
    }
    return {name: f"{json.dumps(schema, ensure_ascii=False, indent=2)}\n" for name, schema in schemas.items()}


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
