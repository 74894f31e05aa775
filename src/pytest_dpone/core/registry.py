"""Families and the rules of which combinations make sense; the matrix is a pure function of a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .model import Case, KeyForm, Strategy

if TYPE_CHECKING:
    from .contracts import Contract

NAME_PATTERN = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
_WORDS = ("_to_", "_via_")
STAGED = ("clickhouse",)
"""Sinks whose server can read files from another service."""


@dataclass(frozen=True, slots=True)
class Family:
    """What a route can start or end in.

    `services` are the services that a case of this family needs.
    `excluded_as_source` and `excluded_as_sink` map a strategy to the reason why the combination makes no sense.
    `swaps`: a full refresh can replace the sink's content so that a reader sees old or new, never half (DESIGN §4).
    `folds`: a sink keeps events, of which the last one of a key is its row.
    `case_blind`: it takes `Order` and `order` for the same name, unless a database is set up otherwise.
    `space_blind`: it takes texts for the same of which one has spaces more at its end.
    `integer_keys`: why its tables can't have a key with a text in it; empty if they can.
    """

    name: str
    services: tuple[str, ...] = ()
    source: bool = True
    sink: bool = True
    excluded_as_source: dict[Strategy, str] = field(default_factory=dict)
    excluded_as_sink: dict[Strategy, str] = field(default_factory=dict)
    swaps: bool = False
    folds: bool = False
    case_blind: bool = False
    space_blind: bool = False
    integer_keys: str = ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A combination that makes no sense, and why. It is listed, and not planned."""

    case: Case
    reason: str


@dataclass(slots=True)
class Registry:
    """Families by name, in the order in which they were added. A user's conftest may add its own."""

    families: dict[str, Family] = field(default_factory=dict)
    contracts: list[Contract] = field(default_factory=list)
    """Of families that were added beside the shipped ones."""
    catalogs: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    """Family → what opens the harness's hands on it (a `SinkCatalog`, or a `Catalog`), given a folder of the case."""
    services: tuple[str, ...] = ("postgres", "mssql", "clickhouse", "kafka", "schema_registry", "minio", "api")
    staging: str = ""
    """The family in which rows may be staged on their way to a sink of `STAGED`: their cases are planned beside those
    of the direct way. Empty: none."""
    _rules: list[Callable[[Case], str | None]] = field(default_factory=list)

    def add(
        self,
        family: Family,
        *,
        contracts: Iterable[Contract] = (),
        catalog: Callable[[Path], object] | None = None,
    ) -> None:
        """Add a family, with its contracts and its catalog if it is none of the shipped ones.

        Raises `UsageError` for a name that is taken or can't be part of a case id, for contracts of others, and for one
        that could not be held to (`declared.check_contracts`).
        """
        import re

        if not re.fullmatch(NAME_PATTERN, family.name) or any(w in f"_{family.name}_" for w in _WORDS):
            raise UsageError(
                f"{family.name!r} can't be a family's name",
                hint="use lower-case letters, digits and single underscores, and not the words `to` and `via`",
            )
        if family.name in self.families:
            raise UsageError(f"the family {family.name!r} is registered already", hint="choose another name")
        contracts = list(contracts)
        if foreign := {row.family for row in contracts} - {family.name}:
            raise UsageError(
                f"contracts of {', '.join(sorted(foreign))} came with the family {family.name!r}",
                hint="a family brings its own contracts only",
            )
        if contracts:
            from .declared import check_contracts  # with Arrow, which somebody who makes contracts has loaded

            check_contracts(contracts)
        self.families[family.name] = family
        self.contracts += contracts
        if catalog is not None:
            self.catalogs[family.name] = catalog

    def exclude(self, rule: Callable[[Case], str | None]) -> None:
        """Add a rule that gives a reason for a case that makes no sense, else None. A pure function."""
        self._rules.append(rule)

    def ways(self, sink: Family) -> tuple[str, ...]:
        """The ways into `sink` as values of `Case.via`, the direct one first."""
        return ("", self.staging) if self.staging in self.families and sink.name in STAGED else ("",)

    def needs(self, case: Case) -> tuple[str, ...]:
        """The services that `case` needs, the source's first, each once."""
        ends = (case.source, case.sink, *filter(None, (case.via,)))
        return tuple(dict.fromkeys(name for end in ends for name in self.families[end].services))

    def reason_against(self, case: Case) -> str | None:
        """Why `case` makes no sense, or None if it is to be planned."""
        source, sink = self.families[case.source], self.families[case.sink]
        if reason := source.excluded_as_source.get(case.strategy):
            return reason
        if reason := sink.excluded_as_sink.get(case.strategy):
            return reason
        return next((reason for rule in self._rules if (reason := rule(case))), None)

    def key_form(self, case: Case) -> KeyForm:
        """The form of the key that `case` declares.

        It goes by the places of source, sink and strategy, so that each of them takes turns through all forms.
        """
        if self.why_integer(case):
            return KeyForm.INTEGER
        names = list(self.families)
        place = names.index(case.source) + names.index(case.sink) + list(Strategy).index(case.strategy)
        forms = list(KeyForm)
        return forms[place % len(forms)]

    def why_integer(self, case: Case) -> str:
        """Why the key of `case` is an integer whatever its place; empty if it takes its turn."""
        if case.strategy is Strategy.CDC:
            return _KEYS_MOVE
        for name, end in ((case.source, "source"), (case.sink, "sink")):
            if reason := self.families[name].integer_keys or self._textless(name, end):
                return reason
        return ""

    def _textless(self, name: str, end: str) -> str:
        """Why a family of one's own can't have texts at this end; empty if it can."""
        rows = [row for row in self.contracts if (row.family, row.kind, row.feature) == (name, "text", "")]
        if any(row.how == "rejected" or (end == "source" and not row.source) for row in rows):
            return f"a table of {name} has no text as a {end}"
        return ""


_KEYS_MOVE = "the act `log` changes keys by adding to them, and a text can't be added to"
_NO_XMIN = "xmin is a system column of Postgres"
_NO_LOG = "it has no change log to capture from"


def default_registry() -> Registry:
    """The six families of DESIGN §1."""
    xmin, cdc = Strategy.XMIN, Strategy.CDC
    in_place = "Parquet objects can't be updated in place"
    in_topic = "a topic has no partitions of rows, intervals or ranges to rewrite"
    registry = Registry()
    registry.add(Family("postgres", ("postgres",), swaps=True))
    registry.add(Family("mssql", ("mssql",), excluded_as_source={xmin: _NO_XMIN}, swaps=True))
    registry.add(Family("clickhouse", ("clickhouse",), excluded_as_source={xmin: _NO_XMIN, cdc: _NO_LOG}, swaps=True))
    registry.add(
        Family(
            "kafka",
            ("kafka", "schema_registry"),
            excluded_as_source={xmin: _NO_XMIN, cdc: "a topic is a log already: its strategies read it from an offset"},
            excluded_as_sink=dict.fromkeys((Strategy.PARTITION_REPLACE, Strategy.SCD2, Strategy.BACKFILL), in_topic),
            folds=True,
        )
    )
    registry.add(
        Family(
            "minio",
            ("minio",),
            excluded_as_source={xmin: _NO_XMIN, cdc: _NO_LOG},
            excluded_as_sink=dict.fromkeys(
                (Strategy.INCREMENTAL_MERGE, Strategy.SNAPSHOT_DIFF, Strategy.SCD2, xmin, cdc), in_place
            ),
            swaps=True,
        )
    )
    registry.add(Family("api", ("api",), sink=False, excluded_as_source={xmin: _NO_XMIN, cdc: _NO_LOG}))
    return registry
