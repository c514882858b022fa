"""Every fault of a load profile is told, with its place."""

import pytest

from hyperscale.v1 import job_pb2
from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import JobFileError, parse_job
from hyperscale.workload.profiles import load_seconds, load_vus
from hyperscale.workload.splitting import split_workflow
from hyperscale.workload.validation import validate_share, validate_submission

JOB = """
target: http://h
workflows:
- name: w
  {load}
  steps: [{{name: s, http: {{url: /}}}}]
"""

VALID = {
    "ramping_vus: {start_vus: 1, stages: [{duration: 10s, target: 5}, {duration: 0s, target: 2}]}": (10.0, 5),
    "ramping_vus: {stages: [{duration: 24h, target: 1000000}], graceful_ramp_down: 0s}": (86400.0, 1_000_000),
    "per_vu_iterations: {vus: 3, iterations: 4}": (600.0, 3),
    "constant_arrival_rate: {rate: 10, duration: 3s, pre_allocated_vus: 2}": (3.0, 2),
    "constant_arrival_rate: {rate: 1, time_unit: 1m, duration: 1m, pre_allocated_vus: 1, max_vus: 9}": (60.0, 9),
    "ramping_arrival_rate: {stages: [{duration: 2s, target: 1}], pre_allocated_vus: 7}": (2.0, 7),
    "constant_vus: {vus: 1, duration: 2s}\n  warm_up: 1s\n  think_time: {constant: 1h}": (2.0, 1),
    "constant_vus: {vus: 1, duration: 2s}\n  think_time: {min: 0s, max: 2s}": (2.0, 1),
}

FAULTY = {
    "ramping_vus: {}": ["ramping_vus.stages"],
    "ramping_vus: {stages: [{duration: 10s, target: 0}]}": ["ramping_vus.stages"],
    "ramping_vus: {stages: [{duration: 0s, target: 5}]}": ["ramping_vus.stages"],
    "ramping_vus: {start_vus: 1000001, stages: [{duration: 25h, target: 1000001}], graceful_ramp_down: 11m}": [
        "ramping_vus.start_vus",
        "ramping_vus.stages[0].duration",
        "ramping_vus.stages[0].target",
        "ramping_vus.graceful_ramp_down",
    ],
    "ramping_vus: {stages: [{duration: 20h, target: 1}, {duration: 20h, target: 1}]}": ["ramping_vus.stages"],
    "per_vu_iterations: {}": ["per_vu_iterations.vus", "per_vu_iterations.iterations"],
    "per_vu_iterations: {vus: 1, iterations: 1, max_duration: 25h}": ["per_vu_iterations.max_duration"],
    "constant_arrival_rate: {}": [
        "constant_arrival_rate.rate",
        "constant_arrival_rate.duration",
        "constant_arrival_rate.pre_allocated_vus",
    ],
    "constant_arrival_rate: {rate: 1, duration: 1s, pre_allocated_vus: 5, max_vus: 4}": [
        "constant_arrival_rate.max_vus"
    ],
    "constant_arrival_rate: {rate: 1, time_unit: 1m, duration: 59s, pre_allocated_vus: 5}": ["constant_arrival_rate"],
    "constant_arrival_rate: {rate: 1, time_unit: 25h, duration: 59s, pre_allocated_vus: 5}": [
        "constant_arrival_rate.time_unit"
    ],
    "ramping_arrival_rate: {stages: [{duration: 1s, target: 1}], pre_allocated_vus: 1}": ["ramping_arrival_rate"],
    "constant_vus: {vus: 1, duration: 2s}\n  warm_up: 2s": ["warm_up"],
    "constant_vus: {vus: 1, duration: 2s}\n  think_time: {constant: 2h}": ["think_time.constant"],
    "constant_vus: {vus: 1, duration: 2s}\n  think_time: {min: 3s, max: 2s}": ["think_time.min"],
    "constant_vus: {vus: 1, duration: 2s}\n  think_time: {min: 3s}": ["think_time"],
    "constant_vus: {vus: 1, duration: 2s}\n  think_time: {constant: 1s, max: 2s}": ["think_time"],
    "constant_vus: {vus: 1, duration: 2s}\n  share: {start: 0, size: 5}": ["share"],
}


def job(load: str) -> job_pb2.JobSubmission:
    return parse_job(JOB.format(load=load), DocumentFormat.YAML)


@pytest.mark.parametrize("load", VALID)
def test_a_profile_is_understood(load: str) -> None:
    workflow = job(load).workflows[0]
    assert (load_seconds(workflow), load_vus(workflow)) == VALID[load]


@pytest.mark.parametrize("load", FAULTY)
def test_every_fault_of_a_profile_is_told(load: str) -> None:
    with pytest.raises(JobFileError) as refused:
        job(load)
    assert [fault.path for fault in refused.value.faults] == [f"workflows[0].{path}" for path in FAULTY[load]]


@pytest.mark.parametrize("load", VALID)
def test_parts_of_a_profile_are_valid_and_add_up(load: str) -> None:
    submission = job(load)
    whole = submission.workflows[0]
    parts = [inner for part in split_workflow(whole, [2, 0, 1]) for inner in split_workflow(part, [1, 1])]
    assert sum(load_vus(part) for part in parts) == load_vus(whole)
    for part in parts:
        submission.workflows[0].CopyFrom(part)
        assert validate_share(submission) == []
        assert [fault.path for fault in validate_submission(submission)][-1:] in (
            ["workflows[0].share"],
            ["workflows[0].data_share"],
        )


def test_a_share_beyond_the_whole_is_refused() -> None:
    submission = job("constant_vus: {vus: 1, duration: 2s}")
    submission.workflows[0].share.start = 2**62
    submission.workflows[0].share.size = 1
    assert [fault.path for fault in validate_share(submission)] == ["workflows[0].share"]
