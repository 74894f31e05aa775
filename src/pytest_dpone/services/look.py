"""How a person looks into a service that was kept: a command without a password, and a file with the login for it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from .handle import ServiceHandle
from .table import fill


class Look(NamedTuple):
    """A command, and the text of the file that it reads the login from. Both are templates."""

    command: str
    login: str


_PSQL = "PGPASSFILE={file} psql --host={host} --port={port} --username={user} {database} "
_AWS = "AWS_SHARED_CREDENTIALS_FILE={file} aws --endpoint-url=http://{host}:{port} "
_CURL = "curl --netrc-file {file} "
_NETRC = "machine {host} login {user} password {password}\n"
_JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="{user}" password="{password}";'
_LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "postgres": Look(
            _PSQL + "--command='\\dt {space}.*'",
            "{host}:{port}:*:{user}:{password}\n",
        ),
        "mssql": Look(
            'SQLCMDPASSWORD="$(cat {file})" sqlcmd -C -S {host},{port} -U {user}',
            "{password}\n",
        ),
        "clickhouse": Look(_CURL + "'http://{host}:{port}/?query=SHOW+TABLES+FROM+{space}'", _NETRC),
        "schema_registry": Look(_CURL + "http://{host}:{port}/subjects", _NETRC),
        "api": Look(_CURL + "http://{host}:{port}/admin/{space}", _NETRC),
        "minio": Look(
            _AWS + "s3 ls s3://{bucket}/ --recursive",
            "[default]\naws_access_key_id = {user}\naws_secret_access_key = {password}\n",
        ),
        "kafka": Look(
            "kafka-topics.sh --bootstrap-server {host}:{port} --command-config {file} --list",
            f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={_JAAS}\n",
        ),
    }
)


def command_for(handle: ServiceHandle, folder: Path, *, spaces: Sequence[str], bucket: str = "") -> str:
    """The command that shows what is in the first of `spaces`; its login goes to a file in `folder`, for us alone."""
    name = handle.record.name
    look = _LOOKS[name]
    file = folder / f"{name}.login"
    values = {"host": handle.host, "port": str(handle.port or ""), "user": handle.user}
    _write(file, fill(look.login, {**values, "password": handle.password.get_secret_value()}))
    shown = {"database": handle.database, "space": spaces[0], "bucket": bucket, "file": shlex.quote(str(file))}
    return fill(look.command, {**values, **shown})


def _write(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
