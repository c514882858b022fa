"""The one table of member states, and the rule by which one belief replaces another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hyperscale.swim.coordinates import Coordinate
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.swim.ports import RandomSource
from hyperscale.swim.random_set import RandomSet, Rotation
from hyperscale.swim.wire import encode_member

PRESENT = frozenset({MemberState.ALIVE, MemberState.SUSPECT})
"""Confirmed, and believed to run."""
GONE = frozenset({MemberState.DEAD, MemberState.LEFT})


def supersedes(incarnation: int, state: int, known_incarnation: int, known_state: MemberState) -> bool:
    """Return whether a belief replaces the known one: the higher incarnation wins, with equal ones the higher state.

    The rule is a total order, so that all nodes end with the same belief in whatever order they hear.
    """
    if incarnation != known_incarnation:
        return incarnation > known_incarnation
    return state > known_state


@dataclass(slots=True)
class MemberRecord:
    """A row of the table. State and incarnation are changed by the table only."""

    identity: Identity
    state: MemberState
    incarnation: int
    since: float
    metadata: bytes = b""
    metadata_version: int = 0
    coordinate: Coordinate | None = None
    """Where the member was when it last answered a probe of this node."""
    load: float = 1.0
    """Factor by which the member asks for longer timeouts."""
    encoded: bytes | None = None
    """The row as an update, until something changes."""

    @property
    def node_id(self) -> str:
        """Id of the member."""
        return self.identity.node_id

    @property
    def address(self) -> NodeAddress:
        """Where to send to."""
        return self.identity.address

    @property
    def is_present(self) -> bool:
        """Whether it is confirmed and believed to run."""
        return self.state in PRESENT

    def set_metadata(self, metadata: bytes, version: int) -> None:
        """Replace what the member says of itself."""
        self.metadata, self.metadata_version = metadata, version
        self.encoded = None

    def set_identity(self, identity: Identity) -> None:
        """Take over where the member is now."""
        self.identity = identity
        self.encoded = None

    def update(self) -> bytes:
        """Return the row as an update; hearsay is passed on as it came, alive."""
        if self.encoded is None:
            state = MemberState.ALIVE if self.state is MemberState.UNCONFIRMED else self.state
            metadata = (self.metadata, self.metadata_version)
            self.encoded = encode_member(self.identity, state, self.incarnation, metadata)
        return self.encoded

    def view(self) -> Member:
        """Return the row as a value."""
        return Member(
            self.identity,
            self.state,
            self.incarnation,
            self.metadata,
            self.metadata_version,
            self.coordinate,
            self.since,
        )


class MemberTable:
    """All other members, and the sets that peers are drawn from. Memory is a constant per member."""

    def __init__(self, own_role: Role, members_max: int) -> None:
        self._own_role = own_role
        self._members_max = members_max
        self._records: dict[str, MemberRecord] = {}
        self._present = {role: RandomSet() for role in Role}
        self._unconfirmed = RandomSet()
        self.reachable = RandomSet()
        """Gossip goes to these: all but those gone for long."""
        self.present = RandomSet()
        """Confirmed, alive or suspect."""
        self.dead = RandomSet()
        self._left = RandomSet()
        self.probed = Rotation()
        """Those this node may probe, each once a round."""

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[MemberRecord]:
        return iter(self._records.values())

    def get(self, node_id: str) -> MemberRecord | None:
        """Return a member's row."""
        return self._records.get(node_id)

    def present_with(self, role: Role) -> RandomSet:
        """Return the present members of a role."""
        return self._present[role]

    @property
    def size(self) -> int:
        """Members that news has to reach, this node included."""
        return len(self.present) + len(self._unconfirmed) + 1

    def accusers_of(self, role: Role) -> int:
        """Number of members that can accuse a present one of a role, this node included when it can."""
        if role is Role.WORKER:
            return len(self._present[Role.MANAGER]) + may_probe(self._own_role, role)
        return len(self.present)

    def add(self, record: MemberRecord, rng: RandomSource) -> tuple[bool, MemberRecord | None]:
        """Put in a new member; return whether there was room, and who had to go for it.

        Gone members make room for anybody, unconfirmed ones for who is confirmed.
        """
        evicted = None
        if len(self._records) >= self._members_max:
            evicted = self._evictable(record, rng)
            if evicted is None:
                return False, None
            self.remove(evicted.node_id)
        self._records[record.node_id] = record
        self._enter(record)
        return True, evicted

    def change(self, record: MemberRecord, state: MemberState, incarnation: int, now: float) -> None:
        """Replace the belief about a member."""
        record.incarnation = incarnation
        record.encoded = None
        if state is record.state:
            return
        self._exit(record)
        record.state, record.since = state, now
        self._enter(record)

    def move(self, record: MemberRecord, identity: Identity) -> None:
        """Replace what and where a member is."""
        self._exit(record)
        record.set_identity(identity)
        self._enter(record)

    def remove(self, node_id: str) -> MemberRecord | None:
        """Take a member out."""
        record = self._records.pop(node_id, None)
        if record is not None:
            self._exit(record)
            self.reachable.discard(node_id)
        return record

    def _evictable(self, newcomer: MemberRecord, rng: RandomSource) -> MemberRecord | None:
        sets = [self.dead, self._left]
        if newcomer.state is not MemberState.UNCONFIRMED:
            sets.append(self._unconfirmed)
        drawn = next((node_id for drawable in sets if (node_id := drawable.draw(rng)) is not None), None)
        return None if drawn is None else self._records[drawn]

    def _enter(self, record: MemberRecord) -> None:
        for drawable in self._sets_of(record):
            drawable.add(record.node_id)
        if record.state in PRESENT and may_probe(self._own_role, record.identity.role):
            self.probed.add(record.node_id)
        if record.state is not MemberState.LEFT:
            self.reachable.add(record.node_id)

    def _exit(self, record: MemberRecord) -> None:
        for drawable in self._sets_of(record):
            drawable.discard(record.node_id)

    def _sets_of(self, record: MemberRecord) -> tuple[RandomSet, ...]:
        if record.state in PRESENT:
            return (self.present, self._present[record.identity.role])
        if record.state is MemberState.UNCONFIRMED:
            return (self._unconfirmed,)
        return (self.dead,) if record.state is MemberState.DEAD else (self._left,)


def may_probe(prober: Role, target: Role) -> bool:
    """Workers are probed by managers only: their cores are for load. Everybody else is probed by all."""
    return target is not Role.WORKER or prober is Role.MANAGER
