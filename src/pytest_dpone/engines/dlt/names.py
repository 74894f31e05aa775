"""Names that a run of dlt leaves in a sink, beside those of the source."""

from __future__ import annotations

PIPELINE = "dpone"
SOURCE = "dpone"
DELETED = "_dpone_deleted"
"""The mark of a row that a merge is to delete (`hard_delete`)."""
ROW_HASH = "_dlt_row_hash"
"""scd2: what tells if a row has changed."""
FROM, TO = "_dlt_valid_from", "_dlt_valid_to"
