"""Which ready workflow gets how many cores of which worker. Pure.

The laws: an exclusive workflow runs alone on every core and is waited for; HIGH comes before NORMAL before LOW, more
users before fewer; each of them gets cores by its share of the users, max(1, ⌊free·users/Σusers⌋), and the last of
them what is left unless AUTO workflows wait; those share the rest in equal parts. Nobody gets more cores than users.
A workflow gets all of its cores or none. Cores of workers that do their work in time are taken first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hyperscale.manager.models.allocation import Allocation, CorePlacement, CorePool, CoreRequest, WorkerCapacity
from hyperscale.v1.workflow_pb2 import PRIORITY_EXCLUSIVE, PRIORITY_HIGH, PRIORITY_LOW, PRIORITY_NORMAL

_EXPLICIT_ORDER = (PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW)


def allocate(requests: Sequence[CoreRequest], pool: CorePool) -> tuple[Allocation, ...]:
    """Divide the free cores over the requests; those that get nothing wait for the next round.

    Requests of equal rank are served in the order given.
    """
    if pool.is_exclusive or pool.free_cores == 0:
        return ()
    exclusive = _by_users([request for request in requests if request.priority == PRIORITY_EXCLUSIVE])
    if exclusive:
        return _allocate_exclusive(exclusive[0], pool)
    return place_all(divide(requests, pool.free_cores), pool.workers)


def _allocate_exclusive(request: CoreRequest, pool: CorePool) -> tuple[Allocation, ...]:
    if not pool.is_idle:
        return ()
    return place_all([(request, min(pool.free_cores, request.users))], pool.workers)


def divide(requests: Sequence[CoreRequest], free_cores: int) -> list[tuple[CoreRequest, int]]:
    """Cores for each request that gets any, in the order in which they are served."""
    explicit = [
        request
        for priority in _EXPLICIT_ORDER
        for request in _by_users([request for request in requests if request.priority == priority])
    ]
    others = _by_users([request for request in requests if request.priority not in _EXPLICIT_ORDER])
    granted = _divide_by_users(explicit, free_cores)
    rest = free_cores - sum(cores for _, cores in granted)
    if others:
        return granted + _divide_equally(others, rest)
    return _give_rest_to_last(granted, rest)


def _by_users(requests: Sequence[CoreRequest]) -> list[CoreRequest]:
    return sorted(requests, key=lambda request: -request.users)


def _divide_by_users(requests: Sequence[CoreRequest], free_cores: int) -> list[tuple[CoreRequest, int]]:
    all_users = sum(request.users for request in requests)
    granted: list[tuple[CoreRequest, int]] = []
    rest = free_cores
    for request in requests:
        share = max(1, free_cores * request.users // all_users)
        cores = min(share, request.users, rest)
        if cores == 0:
            break
        granted.append((request, cores))
        rest -= cores
    return granted


def _divide_equally(requests: Sequence[CoreRequest], free_cores: int) -> list[tuple[CoreRequest, int]]:
    """Equal parts; what a workflow with few users cannot use goes to the others, the first ones get the remainder."""
    granted: dict[CoreRequest, int] = {}
    rest = free_cores
    fewest_users_first = list(reversed(requests))
    for position, request in enumerate(fewest_users_first):
        waiting = len(fewest_users_first) - position
        granted[request] = min(request.users, rest // waiting)
        rest -= granted[request]
    return [(request, granted[request]) for request in requests if granted[request]]


def _give_rest_to_last(granted: list[tuple[CoreRequest, int]], rest: int) -> list[tuple[CoreRequest, int]]:
    if not granted:
        return granted
    request, cores = granted[-1]
    return [*granted[:-1], (request, min(cores + rest, request.users))]


def place_all(grants: Sequence[tuple[CoreRequest, int]], workers: Sequence[WorkerCapacity]) -> tuple[Allocation, ...]:
    """Choose workers for each grant, the first ones first; a grant that does not fit is left out whole."""
    known = {worker.worker_id: worker for worker in workers}
    allocations: list[Allocation] = []
    for request, cores in grants:
        placements = _place(cores, list(known.values()))
        for placement in placements:
            worker = known[placement.worker_id]
            known[worker.worker_id] = replace(worker, free_cores=worker.free_cores - placement.cores)
        if placements:
            allocations.append(Allocation(request.key, placements))
    return tuple(allocations)


def first_ones_first(workers: Iterable[WorkerCapacity]) -> list[WorkerCapacity]:
    """Workers with free cores: healthy before busy before stressed ones, among equals those with most free cores."""
    free = [worker for worker in workers if worker.free_cores > 0]
    return sorted(free, key=lambda worker: (worker.overload, -worker.free_cores, worker.worker_id))


def _place(cores: int, workers: Iterable[WorkerCapacity]) -> tuple[CorePlacement, ...]:
    placements: list[CorePlacement] = []
    missing = cores
    for worker in first_ones_first(workers):
        taken = min(worker.free_cores, missing)
        if taken > 0:
            placements.append(CorePlacement(worker.worker_id, taken))
            missing -= taken
    return tuple(placements) if missing == 0 else ()
