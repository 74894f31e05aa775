"""The source of a run, looked at when it starts and when it ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ..core.gates.source import SourceFacts, SourceState
    from ..evidence.code import Place
    from ..run.origin import Origin
    from .session import DponeSession


@dataclass(slots=True)
class Binding:
    """Made at the start of a run that judges itself; what it saw then is compared at the end."""

    session: DponeSession
    leave_out: tuple[Path, ...]
    start: SourceState
    _engines: set[Place] = field(default_factory=set)

    @classmethod
    def begin(cls, session: DponeSession, *, leave_out: tuple[Path, ...]) -> Binding:
        """Take the first look. Files below `leave_out` are artifacts of runs."""
        from ..evidence.code import place_of

        engines = {place_of(type(session.engine))}
        return cls(session, leave_out, _take(session, leave_out, engines), engines)

    def saw(self, places: Iterable[Iterable[str | None]]) -> None:
        """Take the places of engines that a test's report brings."""
        from ..evidence.code import Place

        self._engines.update(Place(*row) for row in places)  # type: ignore[arg-type]

    def end(self) -> SourceFacts:
        """Take the last look."""
        from ..core.gates.source import SourceFacts

        end = _take(self.session, self.leave_out, self._engines)
        return SourceFacts(profile=self.session.activity.profile, start=self.start, end=end)

    def origin(self, known: Origin) -> Origin:
        """What `known` says of the source tree, with the digest of the files and what git was told not to see."""
        tree = self.start.tree
        dirty = None if known.dirty is None else known.dirty or bool(tree.differing)
        return known.model_copy(update={"tree": tree.tracked.digest, "dirty": dirty})


def _take(session: DponeSession, leave_out: tuple[Path, ...], engines: Iterable[Place]) -> SourceState:
    from ..evidence.binding import take

    return take(session.config.rootpath, leave_out=leave_out, engines=engines)
