"""Dependencies between workflows."""

from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.workload.faults import Fault
from hyperscale.workload.graph import WorkflowGraph


def graph(**dependencies: str) -> WorkflowGraph:
    return WorkflowGraph(Workflow(name=name, depends_on=needed.split()) for name, needed in dependencies.items())


def test_a_workflow_is_ready_when_its_own_dependencies_are_done() -> None:
    diamond = graph(seed="", left="seed", right="seed", alone="", last="left right")
    assert diamond.faults() == []
    assert diamond.ready(set()) == ["seed", "alone"]
    assert diamond.ready({"seed"}) == ["left", "right", "alone"]
    assert diamond.ready({"seed", "left", "alone"}) == ["right"]
    assert diamond.ready({"seed", "left", "right"}) == ["alone", "last"]


def test_dependents_are_found_through_others() -> None:
    chain = graph(seed="", left="seed", right="seed", last="left right", alone="")
    assert chain.dependents_of("seed") == {"left", "right", "last"}
    assert chain.dependents_of("last") == set()


def test_every_fault_is_told_once() -> None:
    assert graph(a="b", b="c", c="a", d="d", e="nobody a a", f="g", g="f e").faults() == [
        Fault("workflows[3].depends_on[0]", "a workflow cannot wait for itself"),
        Fault("workflows[4].depends_on[0]", "there is no workflow 'nobody'"),
        Fault("workflows[4].depends_on[2]", "'a' is listed twice"),
        Fault("workflows[0].depends_on", "workflows wait for each other: a -> b -> c -> a"),
        Fault("workflows[5].depends_on", "workflows wait for each other: f -> g -> f"),
    ]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=10))
def test_without_faults_everything_gets_ready(needed: list[list[int]]) -> None:
    faulty = WorkflowGraph(
        Workflow(name=str(index), depends_on=[str(other) for other in others]) for index, others in enumerate(needed)
    )
    done: set[str] = set()
    while ready := faulty.ready(done):
        done.update(ready)
    if not faulty.faults():
        assert len(done) == len(needed)
