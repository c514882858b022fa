from hyperscale.workload.check_outcomes import CheckOutcomes
from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import StepStatistics, WorkflowStatistics


def outcomes(**counts: tuple[int, int]) -> StepStatistics:
    step = StepStatistics()
    for name, (passes, fails) in counts.items():
        check = step.checks.check(name)
        check.passes, check.fails = passes, fails
    return step


def test_outcomes_add_up_by_name_and_survive_the_wire() -> None:
    step = outcomes(a=(3, 1), b=(0, 2))
    step.merge(StepStatistics.from_proto(outcomes(b=(1, 0), c=(4, 4)).to_proto("s")))
    assert [(check.name, check.passes, check.fails) for check in step.to_proto("s").checks] == [
        ("a", 3, 1),
        ("b", 1, 2),
        ("c", 4, 4),
    ]
    assert CheckOutcomes.from_proto(step.to_proto("s").checks) == step.copy().checks


def test_the_metric_is_the_share_of_checks_that_held() -> None:
    statistics = WorkflowStatistics("w", {"s": outcomes(a=(3, 1), b=(3, 1))})
    assert metrics_of([statistics], 1.0)["checks"] == {"rate": 0.75, "count": 6.0}
    assert "checks" not in metrics_of([WorkflowStatistics("w", {"s": StepStatistics()})], 1.0)
