"""Where a run writes: its own folder, held while it runs, and cleared of what an earlier run left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .session import usage_errors

if TYPE_CHECKING:
    from ..run.tree import Tree
    from .activity import Activity
    from .session import DponeSession


@dataclass(frozen=True, slots=True)
class Workspace:
    """The tree of a run, the handles that hold it, and what a person should know of the choice."""

    tree: Tree
    handles: tuple[int, ...] = ()
    note: str = ""


def artifact_folders(config: pytest.Config, activity: Activity) -> tuple[Path, Path]:
    """The folder of all artifacts, and the one of the matrix."""
    from ..core.gates.plan import FOLDERS

    options = activity.options
    folder = FOLDERS[activity.profile] if options.origins["artifact_dir"] == "default" else options.artifact_dir
    root = base_of(config, activity, "artifact_dir") / folder
    if options.simulated:  # never over the artifacts of a run that has certified something
        root /= "simulated"
    matrix = base_of(config, activity, "matrix_dir") / options.matrix_dir if options.matrix_dir else root / "matrix"
    return root.absolute(), matrix.absolute()


def base_of(config: pytest.Config, activity: Activity, field: str) -> Path:
    """What a path is relative to: where a person stands who types it, rootdir for what a file says."""
    typed = activity.options.origins[field] in ("option", "environment")
    return config.invocation_params.dir if typed else config.rootpath


def open_workspace(session: DponeSession) -> Workspace:
    """Choose the folder; hold and clear it if the run certifies. Raises `pytest.UsageError`."""
    from ..run.tree import Tree

    activity = session.activity
    root, matrix = artifact_folders(session.config, activity)
    _check_inside(activity, root, matrix)
    if activity.options.shard is not None and activity.certifies:
        index, count = activity.options.shard
        return _held(_apart(activity, root, matrix, "shards", f"{index}-of-{count}"), activity)
    if session.plan.narrowed or not activity.certifies:
        # Never over the artifacts of a full run.
        tree = _apart(activity, root, matrix, "cases", session.run_id)
        return _held(tree, activity) if activity.certifies else Workspace(tree)
    if (workspace := _try_hold(Tree(root, matrix), activity)) is not None:
        return workspace
    tree = _apart(activity, root, matrix, "runs", session.run_id)
    note = f"another run writes to {root if activity.whole else matrix}, so this one has a folder of its own"
    return _held(tree, activity, note=note)


def _check_inside(activity: Activity, root: Path, matrix: Path) -> None:
    if activity.decides and not matrix.is_relative_to(root):
        raise pytest.UsageError(
            f"--dpone-matrix-dir: {matrix} lies outside of {root}, where the evidence of a release would not cover it\n"
            "hint: leave --dpone-matrix-dir out, or name a folder below --dpone-artifact-dir"
        )


def _apart(activity: Activity, root: Path, matrix: Path, kind: str, name: str) -> Tree:
    from ..run.tree import Tree

    inside = matrix if activity.options.matrix_dir else root
    folder = inside / kind / name
    return Tree(folder, folder / "matrix")


def _held(tree: Tree, activity: Activity, *, note: str = "") -> Workspace:
    workspace = _try_hold(tree, activity)
    if workspace is None:
        raise pytest.UsageError(f"another process writes to {tree.root}\nhint: choose another --dpone-artifact-dir")
    return Workspace(workspace.tree, workspace.handles, note)


def _try_hold(tree: Tree, activity: Activity) -> Workspace | None:
    with usage_errors():
        handles = tree.hold(whole=activity.whole)
        return Workspace(tree, handles) if handles is not None else None
