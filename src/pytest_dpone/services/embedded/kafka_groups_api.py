"""Requests of consumer groups: membership, committed offsets, administration."""
# ruff: noqa: ARG001 - all handlers have one signature

from __future__ import annotations

import uuid
from typing import Any

from .kafka_groups import Group, Member, Offset, State
from .kafka_state import Broker
from .kafka_wire import Api, Caller, Code, Fields


async def find_coordinator(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """We coordinate every group and transaction."""
    if caller.version < 4:
        return broker.node()
    return {"coordinators": [{"key": key, **broker.node()} for key in request.coordinator_keys]}


async def join_group(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Enter a group, or its next generation."""
    group = broker.group(request.group_id)
    member, code, identity = _joining(group, request, caller)
    if member is None:
        return _not_joined(code, identity, caller)
    same = {item.name: item.metadata for item in request.protocols} == member.protocols
    member.update(request)
    settled = group.state is State.COMPLETING or (group.state is State.STABLE and member.id != group.leader)
    if identity == request.member_id and member.id in group.members and same and settled and not member.waits:
        return group.description(member)  # it asks again for what it has been told
    group.kind = request.protocol_type
    group.members[member.id] = member
    if code := await group.join(member):
        return _not_joined(code, member.id, caller)
    return group.description(member)


def _joining(group: Group, request: Any, caller: Caller) -> tuple[Member | None, Code, str]:
    """(the member, why there is none, its id). A new member learns its id first and joins with its second request."""
    identity, instance = request.member_id, getattr(request, "group_instance_id", None)
    if not group.accepts(request.protocol_type, [item.name for item in request.protocols]):
        return None, Code.INCONSISTENT_GROUP_PROTOCOL, identity
    new = f"{instance or caller.client or 'member'}-{uuid.uuid4()}"
    if instance is not None:
        owner = group.of_instance(instance)
        if owner is not None and identity and owner.id != identity:
            return None, Code.FENCED_INSTANCE_ID, identity
        if owner is not None and not identity:
            return group.replace(owner, new), Code.NONE, new
        if identity and owner is None:
            return None, Code.UNKNOWN_MEMBER_ID, identity
        return owner or Member(new, request, caller), Code.NONE, identity or new
    if not identity and caller.version >= 4:
        return None, Code.MEMBER_ID_REQUIRED, new
    identity = identity or new
    return group.members.get(identity) or Member(identity, request, caller), Code.NONE, identity


def _not_joined(code: Code, identity: str, caller: Caller) -> Fields:
    name = None if caller.version >= 7 else ""
    return {"error_code": code, "generation_id": -1, "protocol_name": name, "leader": "", "member_id": identity}


async def sync_group(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Learn what one has to read; the leader tells it."""
    group = broker.group(request.group_id)
    member, code = _member(group, request)
    code = code or group.against(member, request.generation_id)
    if not code and group.state is State.PREPARING:
        code = Code.REBALANCE_IN_PROGRESS
    if not code and member is not None:
        code = await group.sync(member, {item.member_id: item.assignment for item in request.assignments})
    if code or member is None:
        return {"error_code": code, "assignment": b""}
    return {"protocol_type": group.kind, "protocol_name": group.protocol, "assignment": member.assignment}


async def heartbeat(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """A sign of life; the answer tells of a rebalance."""
    group = broker.group(request.group_id)
    member, code = _member(group, request)
    code = code or group.against(member, request.generation_id)
    if not code and group.state is State.PREPARING:
        code = Code.REBALANCE_IN_PROGRESS
    return {"error_code": code}


def _member(group: Group, request: Any) -> tuple[Member | None, Code]:
    return group.find(request.member_id, getattr(request, "group_instance_id", None))


async def leave_group(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Leave, or remove others by their instance ids."""
    group = broker.group(request.group_id)
    if caller.version < 3:
        return {"error_code": Code.NONE if group.remove(request.member_id) else Code.UNKNOWN_MEMBER_ID}
    answers = []
    for wanted in request.members:
        owner = group.of_instance(wanted.group_instance_id)
        removed = group.remove(owner.id if owner is not None else wanted.member_id)
        code = Code.NONE if removed else Code.UNKNOWN_MEMBER_ID
        answers.append(
            {"member_id": wanted.member_id, "group_instance_id": wanted.group_instance_id, "error_code": code}
        )
    return {"members": answers}


async def commit_offsets(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Commit offsets: as a member, or from outside while the group is empty."""
    group = broker.group(request.group_id)
    generation = getattr(request, "generation_id_or_member_epoch", getattr(request, "generation_id", -1))
    code = Code.NONE
    if generation >= 0 or group.members:
        member, code = _member(group, request)
        code = code or group.against(member, generation)
        if not code and group.state is State.COMPLETING:
            code = Code.REBALANCE_IN_PROGRESS
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            index = part.partition_index
            error = code
            if not error and broker.partition(topic.name, index) is None:
                error = Code.UNKNOWN_TOPIC_OR_PARTITION
            if not error:
                group.offsets[topic.name, index] = noted(part)
            parts.append({"partition_index": index, "error_code": error})
        topics.append({"name": topic.name, "partitions": parts})
    return {"topics": topics}


def noted(part: Any) -> Offset:
    """What a request to commit says about a partition."""
    return Offset(part.committed_offset, getattr(part, "committed_leader_epoch", -1), part.committed_metadata or "")


async def fetch_offsets(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """The offsets that groups have committed; offsets of open transactions make a partition unstable."""
    stable = getattr(request, "require_stable", False)
    if caller.version < 8:
        return {"topics": _offsets(broker.groups.get(request.group_id), request.topics, stable=stable)}
    groups = [
        {
            "group_id": wanted.group_id,
            "topics": _offsets(broker.groups.get(wanted.group_id), wanted.topics, stable=stable),
        }
        for wanted in request.groups
    ]
    return {"groups": groups}


def _offsets(group: Group | None, topics: Any, *, stable: bool) -> list[Fields]:
    offsets = group.offsets if group is not None else {}
    pending = {place for places in group.pending.values() for place in places} if group is not None else set()
    if topics is None:
        wanted = {name: [index for other, index in offsets if other == name] for name, _ in sorted(offsets)}
    else:
        wanted = {topic.name: list(topic.partition_indexes) for topic in topics}
    answers = []
    for name, indexes in wanted.items():
        parts: list[Fields] = []
        for index in indexes:
            known = offsets.get((name, index), Offset(-1, -1, ""))
            code = Code.NONE
            if stable and (name, index) in pending:
                known, code = Offset(-1, -1, ""), Code.UNSTABLE_OFFSET_COMMIT
            fields = {"committed_offset": known.offset, "committed_leader_epoch": known.leader_epoch}
            parts.append({"partition_index": index, "metadata": known.metadata, "error_code": code, **fields})
        answers.append({"name": name, "partitions": parts})
    return answers


async def describe_groups(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """State and members of groups; one that is not there is dead."""
    return {"groups": [_description(name, broker.groups.get(name)) for name in request.groups]}


def _description(name: str, group: Group | None) -> Fields:
    if group is None:
        return {"group_id": name, "group_state": State.DEAD.value}
    stable = group.state is State.STABLE
    members = [
        {
            "member_id": member.id,
            "group_instance_id": member.instance,
            "client_id": member.client,
            "client_host": member.host,
            "member_metadata": member.protocols.get(group.protocol or "", b"") if stable else b"",
            "member_assignment": member.assignment,
        }
        for member in group.members.values()
    ]
    return {
        "group_id": name,
        "group_state": group.state.value,
        "protocol_type": group.kind,
        "protocol_data": group.protocol or "",
        "members": members,
    }


async def list_groups(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """All groups that have members or offsets."""
    states = set(getattr(request, "states_filter", ()) or ())
    groups = [group for group in broker.groups.values() if group.members or group.offsets]
    return {
        "groups": [
            {"group_id": group.name, "protocol_type": group.kind, "group_state": group.state.value}
            for group in groups
            if not states or group.state.value in states
        ]
    }


async def delete_groups(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Delete groups without members."""
    answers = []
    for name in request.groups_names:
        group = broker.groups.get(name)
        code = Code.GROUP_ID_NOT_FOUND if group is None else Code.NON_EMPTY_GROUP if group.members else Code.NONE
        if not code:
            del broker.groups[name]
        answers.append({"group_id": name, "error_code": code})
    return {"results": answers}


async def delete_offsets(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Forget offsets of a group that nobody is in."""
    group = broker.groups.get(request.group_id)
    if group is None:
        return {"error_code": Code.GROUP_ID_NOT_FOUND}
    code = Code.GROUP_SUBSCRIBED_TO_TOPIC if group.members else Code.NONE
    topics = []
    for topic in request.topics:
        for part in topic.partitions:
            if not code:
                group.offsets.pop((topic.name, part.partition_index), None)
        parts = [{"partition_index": part.partition_index, "error_code": code} for part in topic.partitions]
        topics.append({"name": topic.name, "partitions": parts})
    return {"topics": topics}


APIS = (
    Api(8, 2, 8, commit_offsets),
    Api(9, 1, 8, fetch_offsets),
    Api(10, 0, 4, find_coordinator),
    Api(11, 2, 9, join_group),
    Api(12, 0, 4, heartbeat),
    Api(13, 0, 5, leave_group),
    Api(14, 0, 5, sync_group),
    Api(15, 0, 5, describe_groups),
    Api(16, 0, 4, list_groups),
    Api(42, 0, 2, delete_groups),
    Api(47, 0, 0, delete_offsets),
)
