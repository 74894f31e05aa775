"""The ordered cases that a registry gives, what is excluded, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ..errors import UsageError
from .model import Case, Strategy
from .registry import Excluded, Registry


@dataclass(frozen=True, slots=True)
class Matrix:
    """Planned cases and excluded combinations, both in the registry's order: source, sink, strategy."""

    planned: tuple[Case, ...]
    excluded: tuple[Excluded, ...]

    def select(
        self,
        *,
        cases: Sequence[str] = (),
        sources: Sequence[str] = (),
        sinks: Sequence[str] = (),
        strategies: Sequence[str] = (),
    ) -> tuple[Case, ...]:
        """Planned cases that match one of the globs of every dimension that is given.

        Raises `UsageError` for a pattern that matches nothing that is planned (with the nearest names, and the
        reason if it is excluded), and for a selection that is empty as a whole: an empty scope certifies nothing.
        """
        chosen = self.planned
        for option, patterns, names in (
            ("case", cases, [c.case_id for c in self.planned]),
            ("source", sources, [c.source for c in self.planned]),
            ("sink", sinks, [c.sink for c in self.planned]),
            ("strategy", strategies, [str(c.strategy) for c in self.planned]),
        ):
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise self._unknown(option, pattern, names)
            if patterns:
                keep = {name for name in names if any(fnmatchcase(name, p) for p in patterns)}
                chosen = tuple(c for c in chosen if _attribute(c, option) in keep)
        if not chosen:
            raise UsageError(
                "the selection leaves no case: each option matches something, all of them together nothing",
                hint="loosen --dpone-source, --dpone-sink, --dpone-strategy or --dpone-case",
            )
        return chosen

    def _unknown(self, option: str, pattern: str, names: Iterable[str]) -> UsageError:
        for row in self.excluded:
            if option == "case" and row.case.case_id == pattern:
                return UsageError(
                    f"the case {pattern!r} is excluded: {row.reason}",
                    hint=f"choose another strategy for {row.case.pair}",
                )
        case = Case.of_id(pattern) if option == "case" else None
        if case is not None and case.via and not any(c.via for c in self.planned):
            return UsageError(
                f"the case {pattern!r} is not planned: its rows would be staged in {case.via}",
                hint=f"add --dpone-staging={case.via}",
            )
        known = list(dict.fromkeys(names))
        near = get_close_matches(pattern, known, n=3, cutoff=0.5)
        if near:
            hint = "did you mean " + " or ".join(near) + "?"
        else:
            hint = "known are " + ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        return UsageError(f"no planned case has the {option} {pattern!r}", hint=hint)


def _attribute(case: Case, option: str) -> str:
    return str(getattr(case, "case_id" if option == "case" else option))


def build_matrix(registry: Registry) -> Matrix:
    """All combinations of the registry's sources, sinks and strategies. Raises `UsageError` if none is planned."""
    planned: list[Case] = []
    excluded: list[Excluded] = []
    for source in registry.families.values():
        for sink in registry.families.values():
            if not (source.source and sink.sink):
                continue
            for case in (Case(source.name, sink.name, s, way) for way in registry.ways(sink) for s in Strategy):
                reason = registry.reason_against(case)
                if reason is None:
                    planned.append(case)
                elif not case.via:
                    excluded.append(Excluded(case, reason))
    if not planned:
        raise UsageError("the registry plans no case", hint="register a source and a sink family")
    return Matrix(tuple(planned), tuple(excluded))
