"""Owners, managers and peers."""

import random

import pytest

from hyperscale.routing.hash_ring import HashRing
from hyperscale.routing.manager_selection import managers_in_order
from hyperscale.routing.models.peers import ManagerCandidate, PeerCandidate, PeerSet
from hyperscale.routing.peer_selection import pick, refreshed, rendezvous

JOBS = [f"region-{number}" for number in range(10_000)]


@pytest.mark.parametrize("gates", [2, 3, 5, 10])
def test_only_the_jobs_of_a_gate_that_leaves_move_and_they_are_few(gates: int) -> None:
    names = [f"gate-{number}" for number in range(gates)]
    before, moved_shares = HashRing(names), []
    for gone in names:
        after = HashRing(reversed([name for name in names if name != gone]))
        moved = [job for job in JOBS if before.owners(job, 1) != after.owners(job, 1)]
        assert all(before.owners(job, 1) == (gone,) for job in moved)
        assert all(after.owners(job, 1) == before.owners(job, 2)[1:] for job in moved)
        moved_shares.append(len(moved) / len(JOBS))
    assert max(moved_shares) <= 1.2 / gates


def test_a_ring_without_members_owns_nothing() -> None:
    assert HashRing([]).owners("job", 3) == ()
    assert HashRing(["only"]).owners("job", 3) == ("only",)


def test_the_leader_comes_first_then_the_manager_that_the_job_had() -> None:
    managers = [
        ManagerCandidate("a"),
        ManagerCandidate("b"),
        ManagerCandidate("old-leader", is_leader=True, term=3),
        ManagerCandidate("leader", is_leader=True, term=4),
        ManagerCandidate("cut", is_leader=True, term=9, is_circuit_open=True),
        ManagerCandidate("silent", heard_seconds_ago=10.1),
    ]
    assert managers_in_order(managers, "b", 10.0) == ["leader", "old-leader", "b", "a"]
    assert managers_in_order([], "b", 10.0) == []


def peers(count: int, latency_ms: float | None = None) -> list[PeerCandidate]:
    return [PeerCandidate(f"peer-{number}", latency_ms=latency_ms) for number in range(count)]


def test_rendezvous_spreads_by_weight_and_moves_little() -> None:
    group = [PeerCandidate("light"), PeerCandidate("heavy", weight=3.0), PeerCandidate("none", weight=0.0)]
    first = [rendezvous(job, group, 1)[0].node_id for job in JOBS]
    assert first.count("heavy") / len(JOBS) == pytest.approx(0.75, abs=0.02)
    assert "none" not in first


def test_peers_are_drawn_kept_replaced_when_unhealthy_and_near_ones_come_first() -> None:
    group = [PeerCandidate(f"peer-{number}", latency_ms=float(100 - number)) for number in range(20)]
    met = rendezvous("me", group, 8)
    chosen = refreshed("me", group, PeerSet())
    nearest = sorted(met, key=lambda peer: peer.latency_ms or 0.0)
    assert [*chosen.primaries, *chosen.backups] == nearest[:5]
    nearer = [PeerCandidate(peer.node_id, latency_ms=1.0) if peer not in nearest[:5] else peer for peer in group]
    assert refreshed("me", nearer, chosen) == chosen
    sick = chosen.primaries[0].node_id
    mended = refreshed("me", [PeerCandidate(p.node_id, 1.0, p.node_id != sick, p.latency_ms) for p in group], chosen)
    assert [peer.node_id for peer in mended.primaries] == [peer.node_id for peer in nearest[1:4]]
    assert len(mended.backups) == 2
    dice = random.Random(1)
    picks = [pick(chosen, dice) for _ in range(3000)]
    shares = [picks.count(peer) / len(picks) for peer in chosen.primaries]
    assert shares == pytest.approx([2 / 3, 1 / 3, 0.0], abs=0.05)


def test_without_healthy_peers_there_is_none_to_pick() -> None:
    sick = [PeerCandidate("a", is_healthy=False)]
    assert pick(refreshed("me", sick, PeerSet()), random.Random(1)) is None
    (only,) = peers(1)
    assert pick(refreshed("me", [only], PeerSet()), random.Random(1)) == only
