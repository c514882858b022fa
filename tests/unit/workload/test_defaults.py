"""Defaults of the contract, and how URLs meet targets."""

import pytest

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload import defaults, profiles
from hyperscale.workload.urls import resolve_url


def test_what_is_left_out_gets_the_contracts_default() -> None:
    http, workflow, submission = workflow_pb2.HttpRequest(), workflow_pb2.Workflow(), job_pb2.JobSubmission()
    assert defaults.method_name(http) == "GET"
    assert defaults.request_timeout_seconds(http) == 60
    assert [status in defaults.expected_statuses(http) for status in (199, 200, 399, 400)] == [False, True, True, False]
    assert defaults.priority_of(workflow) == workflow_pb2.PRIORITY_AUTO
    assert defaults.graceful_stop_seconds(workflow) == 30
    assert (profiles.load_vus(workflow), profiles.load_seconds(workflow), profiles.load_iterations(workflow)) == (
        0,
        0,
        None,
    )
    assert defaults.max_duration_seconds(workflow_pb2.SharedIterations()) == 600
    assert defaults.job_timeout_seconds(submission) == 3600
    assert defaults.distribution_of(submission) == job_pb2.DISTRIBUTION_REPLICATE
    assert defaults.datacenter_weight(submission, "eu") == 1


def test_what_is_given_is_kept() -> None:
    http = workflow_pb2.HttpRequest(method=workflow_pb2.HTTP_METHOD_PATCH, expected_statuses=[404])
    http.timeout.nanos = 500_000_000
    assert (defaults.method_name(http), defaults.request_timeout_seconds(http)) == ("PATCH", 0.5)
    assert [status in defaults.expected_statuses(http) for status in (200, 404)] == [False, True]
    constant = workflow_pb2.Workflow(priority=workflow_pb2.PRIORITY_LOW)
    constant.graceful_stop.SetInParent()
    constant.constant_vus.vus = 3
    constant.constant_vus.duration.seconds = 7
    assert (defaults.priority_of(constant), defaults.graceful_stop_seconds(constant)) == (workflow_pb2.PRIORITY_LOW, 0)
    assert (profiles.load_vus(constant), profiles.load_seconds(constant), profiles.load_iterations(constant)) == (
        3,
        7,
        None,
    )
    shared = workflow_pb2.Workflow()
    shared.shared_iterations.vus = 2
    shared.shared_iterations.iterations = 9
    assert (profiles.load_vus(shared), profiles.load_seconds(shared), profiles.load_iterations(shared)) == (2, 600, 9)
    submission = job_pb2.JobSubmission(distribution=job_pb2.DISTRIBUTION_SPLIT)
    submission.timeout.seconds = 5
    submission.datacenters.weights["eu"] = 4
    assert defaults.job_timeout_seconds(submission) == 5
    assert defaults.distribution_of(submission) == job_pb2.DISTRIBUTION_SPLIT
    assert defaults.datacenter_weight(submission, "eu") == 4


@pytest.mark.parametrize(
    ("target", "url", "whole"),
    [
        ("http://h", "/a?b=c", "http://h/a?b=c"),
        ("http://h/", "/a", "http://h/a"),
        ("https://h:8443/base", "/a", "https://h:8443/base/a"),
        ("http://h", "https://other/x", "https://other/x"),
    ],
)
def test_a_path_is_appended_to_the_target(target: str, url: str, whole: str) -> None:
    assert resolve_url(target, url) == whole
