"""A staging area on S3: Parquet objects of one attempt, which the sink's server reads by itself."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable

import pyarrow as pa

from ...core.wire import Endpoint, Job
from ...errors import UsageError
from .address import Address, place
from .minio import Bucket

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


class Staging:
    """Objects below a folder of the table, in one of this attempt: what another attempt has left is never read.

    Their columns are called c0, c1 and so on: no name of a column can meet a rule of Parquet's readers.
    """

    def __init__(self, job: Job, endpoint: Endpoint) -> None:
        if endpoint.family != "minio":
            raise UsageError(f"rows can't be staged in {endpoint.family}", hint="give the job a staging area on minio")
        self._address = Address.of(endpoint)
        digest = hashlib.sha256(f"{job.sink.namespace}/{job.sink.table}".encode()).hexdigest()[:24]
        self._folder = f"{self._address.path}/{endpoint.namespace}/dpone_stage_{digest}"
        if not _PLAIN.fullmatch(self._folder):
            raise UsageError(
                f"the staging area {place(endpoint)} has a name that a server may take for a pattern",
                hint="use letters, digits, dots, dashes and underscores in its bucket and namespace",
            )
        self._bucket = Bucket(endpoint.model_copy(update={"table": f"dpone_stage_{digest}"}))
        self._attempt = secrets.token_hex(8)
        self._count = 0

    def put(self, tables: Iterable[pa.Table]) -> list[str]:
        """Write each table as an object; returns their names."""
        import pyarrow.parquet as pq

        names = []
        for table in tables:
            names.append(f"{self._attempt}/part-{self._count:05d}.parquet")
            self._count += 1
            with self._bucket.files.open_output_stream(self._bucket.path(names[-1])) as stream:
                rows = table.rename_columns([f"c{place}" for place in range(table.num_columns)])
                pq.write_table(rows, stream, compression="zstd", compression_level=1)
        return names

    def clear(self) -> None:
        """Remove the objects of this table, whichever attempt has left them. Arrow leaves an empty mark of a folder."""
        for name in self._bucket.names():
            self._bucket.delete(name)

    def arguments(self, name: str) -> list[str]:
        """The address of an object as the sink's server reaches it, the key, the secret, and the token if there is one.

        The last two are secrets: only for a place of a query that the server keeps out of its logs.
        """
        address = self._address
        host = f"[{address.host}]" if ":" in address.host else address.host
        server = address.query.get("inside") or (f"{host}:{address.port}" if address.port else host)
        scheme = "https" if address.scheme == "s3s" else "http"
        found = [f"{scheme}://{server}/{self._folder}/{name}", address.user, address.password]
        return [*found, token] if (token := address.query.get("token")) else found
