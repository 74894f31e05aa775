"""The gates' documents on disk: stamped, written with their Markdown twins, and no stale one left before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ..core.gates.documents import Kind, SourceTree, Stamp
from ..errors import ArtifactError
from ..evidence.artifacts import check_writable, write_json, write_text
from ..report.gates import document_markdown
from .origin import Origin


def new_stamp(
    *,
    run_id: str,
    profile: str | None = None,
    release: str | None = None,
    run_mode: str | None = None,
    source: Origin | None = None,
    origin: Literal["run", "command"] = "command",
) -> Stamp:
    """A stamp of this moment."""
    return Stamp(
        generated_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        run_id=run_id,
        profile=profile,
        run_mode=run_mode,
        release=release,
        source=SourceTree(**(source or Origin()).model_dump()),
        origin=origin,
    )


def publish(directory: Path, kind: Kind, document: Mapping[str, object]) -> Path:
    """Write `document` and its Markdown twin into `directory`; returns the JSON's path. Raises `ArtifactError`."""
    path = directory / kind.file
    write_json(path, document)
    write_text(path.with_suffix(".md"), document_markdown(document))
    return path


def make_room(directory: Path, names: Sequence[str]) -> None:
    """Make `directory` ready, and remove the files `names` and their Markdown twins that an earlier call left there.

    Raises `ArtifactError`.
    """
    for path in (directory / name for name in names):
        try:
            path.unlink(missing_ok=True)
            path.with_suffix(".md").unlink(missing_ok=True)
        except NotADirectoryError:
            break
        except OSError as error:
            fact = f"an earlier {path.name} can't be removed: {error.strerror}"
            raise ArtifactError(fact, hint="choose another --output-dir") from error
    check_writable(directory)
