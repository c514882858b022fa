"""What a job needs to begin."""

from __future__ import annotations

from hyperscale.v1 import job_pb2
from hyperscale.workload.splitting import has_work


def starting_cores(submission: job_pb2.JobSubmission) -> int:
    """Free cores with which every workflow starts that waits for no other; at least 1.

    A workflow starts with one core, and takes more when there are more.
    """
    return max(1, sum(has_work(workflow) and not workflow.depends_on for workflow in submission.workflows))
