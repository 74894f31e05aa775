"""Consumer groups of the classic protocol: members join, a leader assigns, heartbeats keep them in."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from .kafka_wire import Caller, Code, Fields, milliseconds

_GATHER = 0.05
"""Seconds that the first member of an empty group waits for others."""


class State(StrEnum):
    """Of a group, in Kafka's words."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class Offset(NamedTuple):
    """What a group has committed for a partition."""

    offset: int
    leader_epoch: int
    metadata: str


Place = tuple[str, int]
"""Topic and partition."""


class Member:
    """One consumer. `joining` and `syncing` are answers that it waits for: an error code, or none."""

    def __init__(self, identity: str, request: Any, caller: Caller) -> None:
        self.id = identity
        self.client = caller.client
        self.host = caller.host
        self.instance: str | None = getattr(request, "group_instance_id", None)
        self.assignment = b""
        self.seen = time.monotonic()
        self.joining: asyncio.Future[Code] | None = None
        self.syncing: asyncio.Future[Code] | None = None
        self.update(request)

    def update(self, request: Any) -> None:
        """Take over what a request to join says."""
        self.protocols: dict[str, bytes] = {item.name: item.metadata for item in request.protocols}
        self.session = milliseconds(request.session_timeout) / 1000
        self.patience = milliseconds(request.rebalance_timeout) / 1000
        self.seen = time.monotonic()

    @property
    def waits(self) -> bool:
        """If it has asked to join and has no answer yet."""
        return self.joining is not None and not self.joining.done()

    def expired(self, now: float) -> bool:
        """If nothing was heard of it for too long. One that waits for us is alive."""
        answered = self.syncing is None or self.syncing.done()
        return not self.waits and answered and now - self.seen > self.session

    def answer(self, code: Code) -> None:
        """Give `code` to whatever the member waits for."""
        for future in (self.joining, self.syncing):
            if future is not None and not future.done():
                future.set_result(code)


class Group:
    """A group: its members, its generation, and the offsets that it has committed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State.EMPTY
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.leader = ""
        self.kind = ""
        self.protocol: str | None = None
        self.offsets: dict[Place, Offset] = {}
        self.pending: dict[int, dict[Place, Offset]] = {}
        """Producer → offsets that its running transaction will commit."""
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._deadline = 0.0

    def accepts(self, kind: str, protocols: Iterable[str]) -> bool:
        """If a new member with these protocols can work with the others."""
        if not self.members:
            return True
        return kind == self.kind and any(all(name in m.protocols for m in self.members.values()) for name in protocols)

    def against(self, member: Member | None, generation: int) -> Code:
        """Why a request of `member` in `generation` can't be served, or no error."""
        if member is None:
            return Code.UNKNOWN_MEMBER_ID
        member.seen = time.monotonic()
        return Code.NONE if generation == self.generation else Code.ILLEGAL_GENERATION

    def find(self, member: str, instance: str | None) -> tuple[Member | None, Code]:
        """The member that a request names; a static one may have been replaced by its successor."""
        owner = self.of_instance(instance)
        if owner is not None and owner.id != member:
            return None, Code.FENCED_INSTANCE_ID
        found = self.members.get(member)
        return found, Code.NONE if found is not None else Code.UNKNOWN_MEMBER_ID

    def of_instance(self, instance: str | None) -> Member | None:
        """The static member of that instance id."""
        if instance is None:
            return None
        return next((member for member in self.members.values() if member.instance == instance), None)

    async def join(self, member: Member) -> Code:
        """Let `member` take part in a new generation, and wait for it."""
        if member.waits:
            member.answer(Code.REBALANCE_IN_PROGRESS)  # it has asked again, on another connection
        future: asyncio.Future[Code] = asyncio.get_running_loop().create_future()
        member.joining = future
        self.rebalance()
        return await future

    async def sync(self, member: Member, assignments: dict[str, bytes]) -> Code:
        """Take the leader's assignments, or wait for them."""
        if self.state is State.COMPLETING and member.id == self.leader:
            self.state = State.STABLE
            for other in self.members.values():
                other.assignment = assignments.get(other.id, b"")
                other.seen = time.monotonic()
                if other.syncing is not None and not other.syncing.done():
                    other.syncing.set_result(Code.NONE)
        if self.state is State.STABLE:
            return Code.NONE
        member.syncing = asyncio.get_running_loop().create_future()
        return await member.syncing

    def rebalance(self) -> None:
        """Start a new generation, or look whether the one that is being prepared is complete."""
        if self.state is State.PREPARING:
            self._look()
            return
        for member in self.members.values():
            if member.syncing is not None and not member.syncing.done():
                member.syncing.set_result(Code.REBALANCE_IN_PROGRESS)
            member.syncing = None
        now = asyncio.get_running_loop().time()
        self._not_before = now + (_GATHER if self.state is State.EMPTY else 0.0)
        self._deadline = now + max((member.patience for member in self.members.values()), default=0.0)
        self.state = State.PREPARING
        self._look()

    def remove(self, identity: str) -> bool:
        """Let a member go; false if there is none of that name."""
        member = self.members.pop(identity, None)
        if member is None:
            return False
        member.answer(Code.UNKNOWN_MEMBER_ID)
        if self.state in (State.STABLE, State.COMPLETING):
            self.rebalance()
        else:
            self._look()
        return True

    def replace(self, old: Member, identity: str) -> Member:
        """A static member has come back: it goes on under a new name, and the old one is fenced."""
        old.answer(Code.FENCED_INSTANCE_ID)
        self.members = {identity if name == old.id else name: member for name, member in self.members.items()}
        if self.leader == old.id:
            self.leader = identity
        old.id = identity
        return old

    def expire(self, now: float) -> None:
        """Let those go of whom nothing was heard."""
        for member in [member for member in self.members.values() if member.expired(now)]:
            self.remove(member.id)

    def settle(self, producer: int, *, commit: bool) -> None:
        """The producer's transaction has ended: its offsets count, or are forgotten."""
        offsets = self.pending.pop(producer, {})
        if commit:
            self.offsets.update(offsets)

    def description(self, member: Member) -> Fields:
        """The answer to a member that has joined."""
        others: list[Fields] = []
        if member.id == self.leader and self.protocol is not None:
            others = [
                {"member_id": m.id, "group_instance_id": m.instance, "metadata": m.protocols[self.protocol]}
                for m in self.members.values()
            ]
        return {
            "generation_id": self.generation,
            "protocol_type": self.kind,
            "protocol_name": self.protocol,
            "leader": self.leader,
            "member_id": member.id,
            "members": others,
        }

    def _look(self) -> None:
        """Complete the generation if all have joined or time is up, else look again later."""
        if self.state is not State.PREPARING:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        missing = [member for member in self.members.values() if not member.waits]
        due = self._deadline if missing else self._not_before
        if self.members and loop.time() < due:
            self._timer = loop.call_at(due, self._look)
        else:
            self._complete(missing)

    def _complete(self, missing: list[Member]) -> None:
        for member in missing:
            if member.instance is None:
                del self.members[member.id]
        self.generation += 1
        self.protocol = self._vote()
        if not self.members:
            self.state, self.leader = State.EMPTY, ""
            return
        if self.leader not in self.members:
            self.leader = next(iter(self.members))
        self.state = State.COMPLETING
        for member in self.members.values():
            member.assignment = b""
            member.seen = time.monotonic()
            if member.joining is not None and not member.joining.done():
                member.joining.set_result(Code.NONE)
            member.joining = None

    def _vote(self) -> str | None:
        """The protocol that most members like best among those that all of them know."""
        members = list(self.members.values())
        if not members:
            return None
        common = set.intersection(*(set(member.protocols) for member in members))
        liked = Counter(next((name for name in member.protocols if name in common), "") for member in members)
        return liked.most_common(1)[0][0] or None
