"""How many users there are at the same time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from hyperscale.v1 import job_pb2
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import seconds_of
from hyperscale.workload.workflow_names import is_load

_ENDS: Final = frozenset(
    {
        job_pb2.WORKFLOW_STATUS_COMPLETED,
        job_pb2.WORKFLOW_STATUS_FAILED,
        job_pb2.WORKFLOW_STATUS_CANCELLED,
    }
)


def most_users_at_once(
    statistics: Iterable[WorkflowStatistics], workflows: Iterable[job_pb2.WorkflowStatusInfo]
) -> int:
    """Most users that the load of one datacenter has had at once.

    A workflow counts with the most users it has had itself, from when workers were given it until its end; one of which that is
    not known counts all the time.
    """
    times = {info.workflow_name: _times(info) for info in workflows}
    changes: list[tuple[float, int]] = []
    most_of_one = 0
    for entry in statistics:
        if is_load(entry.workflow_name):
            began_at, ended_at = times.get(entry.workflow_name, (-math.inf, math.inf))
            changes += [(began_at, entry.vus_max), (ended_at, -entry.vus_max)]
            most_of_one = max(most_of_one, entry.vus_max)
    # At one instant, who ends goes before who begins. A clock that was set back meanwhile must not hide anybody.
    return max(most_of_one, *accumulate((users for _, users in sorted(changes)), initial=0))


def _times(info: job_pb2.WorkflowStatusInfo) -> tuple[float, float]:
    """When a workflow was under way, by its manager's wall clock."""
    begins = [change.at for change in info.history if change.status == job_pb2.WORKFLOW_STATUS_DISPATCHED]
    ends = [change.at for change in info.history if change.status in _ENDS]
    return (
        min(map(seconds_of, begins), default=-math.inf),
        min(map(seconds_of, ends), default=math.inf),
    )
