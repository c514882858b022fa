"""How many cores a job needs to begin, and how many iterations it needs to end."""

from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.v1.workflow_pb2 import ConstantVus, PerVuIterations, SharedIterations, Workflow
from hyperscale.workload.demand import starting_cores
from hyperscale.workload.profiles import counted_iterations


def load(name: str, *after: str, users: int = 50) -> Workflow:
    return Workflow(name=name, depends_on=after, constant_vus=ConstantVus(vus=users))


def test_a_core_for_each_workflow_that_waits_for_no_other() -> None:
    job = JobSubmission(workflows=[load("a"), load("b"), load("c", "a"), load("idle", users=0)])
    assert starting_cores(job) == 2


def test_never_less_than_one() -> None:
    assert starting_cores(JobSubmission(workflows=[load("idle", users=0)])) == 1


def test_iterations_that_end_a_load() -> None:
    assert counted_iterations(Workflow(shared_iterations=SharedIterations(vus=3, iterations=10))) == 10
    assert counted_iterations(Workflow(per_vu_iterations=PerVuIterations(vus=3, iterations=10))) == 30
    assert counted_iterations(load("a")) is None
