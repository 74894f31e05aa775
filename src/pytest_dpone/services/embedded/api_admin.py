"""The harness's own door to the API: it makes tables, changes them and reads them back, as Arrow. Not for clients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from ...core.kinds import Field, TableSchema
from .api_store import ApiError, Space, Table

if TYPE_CHECKING:
    from .api_http import Front

Answer = tuple[int, dict[str, str], bytes]


def administer(front: Front, method: str, path: Sequence[str], body: bytes) -> Answer:
    """The answer to a request below `/admin`. Raises `ApiError` for what is not there."""
    match (method, *path):
        case ("GET", "version"):
            return _json({"product": "pytest-dpone API", "version": front.version})
        case ("PUT", name):
            front.spaces.setdefault(name, Space())
            return _json({})
        case ("GET", name):
            return _json({table: found.rows.num_rows for table, found in front.space(name).tables.items()})
        case ("DELETE", name):
            front.spaces.pop(name, None)
            return _json({})
        case ("POST", name, "conduct"):
            with front.space(name).lock:
                return _json(front.space(name).conduct.take())
        case (_, name, "tables", table, *rest):
            space = front.space(name)
            with space.lock:
                return _table(space, method, table, rest, body)
    raise ApiError(404, f"there is no {method} /admin/{'/'.join(path)}")


def _table(space: Space, method: str, name: str, rest: list[str], body: bytes) -> Answer:
    if (method, rest) == ("PUT", []):
        schema = _schema(json.loads(body))
        space.tables[name] = Table(schema, schema.arrow().empty_table())
        return _json({})
    table = space.table(name)
    if (method, rest) == ("GET", []):
        return _json({f.name: f.kind for f in table.schema.fields})
    if (method, rest) == ("GET", ["rows"]):
        return 200, {"Content-Type": "application/vnd.apache.arrow.stream"}, _arrow(table.rows)
    if (method, rest) == ("POST", ["rows"]):
        (more,) = _tables(body, count=1)
        table.put(pa.concat_tables([table.rows, more]))
        return _json({"rows": more.num_rows})
    if (method, rest) == ("POST", ["commit"]):
        table.change(*_tables(body, count=3))
        return _json({})
    raise ApiError(404, f"there is no such {method} of a table")


def _schema(told: dict[str, object]) -> TableSchema:
    columns, key = told["columns"], told["key"]
    assert isinstance(columns, list)
    assert isinstance(key, list)
    fields = tuple(Field(str(name), str(kind), nullable=bool(nullable)) for name, kind, nullable in columns)
    return TableSchema(fields, tuple(map(str, key)), str(told["cursor"]), str(told["partition"]))


def _tables(body: bytes, *, count: int) -> list[pa.Table]:
    """The Arrow streams of a body, one behind the other."""
    source = pa.BufferReader(body)
    return [pa.ipc.open_stream(source).read_all() for _ in range(count)]


def _arrow(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def _json(content: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(content, ensure_ascii=False).encode()
