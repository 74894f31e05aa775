"""What the act `crash` of all cases has counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import Field, ValidationError

from ..model import ActName, CaseRecord
from .ruling import Value

KILLS, PROOFS = "kills.", "proofs."
"""Begin the names under which the act observes its kills by point, and what the services showed at that moment."""


class Kills(Value):
    """Kills, cut connections and refused rows of a run, and what of its rows was wrong after the next one."""

    points: dict[str, int] = Field(default_factory=dict)
    """Point → kills that came in time."""
    proofs: dict[str, int] = Field(default_factory=dict)
    """What the services showed → how often."""
    cuts: int = 0
    refusals: int = 0
    lost: int = 0
    doubled: int = 0
    extra: int = 0

    @property
    def total(self) -> int:
        """All kills."""
        return sum(self.points.values())

    def line(self) -> str:
        """One line for people; empty if nothing was tried."""
        if not (self.total or self.cuts or self.refusals):
            return ""
        points = ", ".join(f"{name} {count}" for name, count in self.points.items())
        tried = f"{self.total} kills ({points}), {self.cuts} cut connections, {self.refusals} refused rows"
        return f"{tried}: {self.lost} rows lost, {self.doubled} doubled, {self.extra} resurrected or extra"

    @classmethod
    def of(cls, told: object) -> Kills:
        """What a report has told; none if it tells nothing that can be read."""
        try:
            return cls.model_validate(told if isinstance(told, Mapping) else {})
        except ValidationError:
            return cls()

    def told(self) -> dict[str, object]:
        """As the report has it."""
        return self.model_dump(mode="json")


def kills_of(record: CaseRecord) -> Kills:
    """What one case has counted."""
    found = [
        (name, count)
        for act in record.acts
        if act.name is ActName.CRASH
        for name, count in act.observed.items()
        if isinstance(count, int) and not isinstance(count, bool)
    ]

    def named(start: str) -> dict[str, int]:
        return {name.removeprefix(start): count for name, count in found if name.startswith(start)}

    plain = {name: count for name, count in found if name in ("cuts", "refusals", "lost", "doubled", "extra")}
    return Kills(points=named(KILLS), proofs=named(PROOFS), **plain)


def summed(kills: Iterable[Kills]) -> Kills:
    """Those of a run."""
    points, proofs, plain = Counter[str](), Counter[str](), Counter[str]()
    for each in kills:
        points.update(each.points)
        proofs.update(each.proofs)
        plain.update(each.model_dump(exclude={"points", "proofs"}))
    return Kills(points=dict(sorted(points.items())), proofs=dict(sorted(proofs.items())), **plain)
