"""Thresholds on a real cluster: narrowed to steps and datacenters, and stopping a job."""

import json
import time
from pathlib import Path

import pytest

from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster
from tests.support.target import BundledTarget

STEPS = [
    {"name": "home", "http": {"url": "/"}},
    {"name": "broken", "http": {"url": "/status/503"}},
]

CHECKED = [
    {
        "name": "item",
        "http": {"url": "/items/7", "expected_statuses": [200]},
        "checks": [
            {"name": "has the id", "json": {"path": "$.id", "equals": 7}},
            {"name": "is a teapot", "status": {"any_of": [418]}},
        ],
    }
]


@pytest.mark.requirement("WORK.4")
def test_checks_are_counted_and_judged(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    rules = [{"metric": "checks{step:item}", "expression": f"rate {condition}"} for condition in ("== 50%", "> 99%")]
    outcomes = []
    for chosen in (rules[:1], rules):
        job = write_job(tmp_path, target.url, workflow(steps=CHECKED), thresholds=chosen)
        outcomes.append(cluster.command("submit", str(job), "--watch", "--json"))
    assert [outcome.code for outcome in outcomes] == [0, 99]
    result = outcomes[1].last_json
    assert [(rule["observed"], rule["passed"]) for rule in result["thresholds"]] == [(0.5, True), (0.5, False)]
    good, bad = result["checks"]
    assert (good["step"], good["name"], good["fails"]) == ("item", "has the id", 0)
    assert (bad["name"], bad["passes"], bad["fails"]) == ("is a teapot", 0, good["passes"])
    shown = cluster.command("result", result["job_id"])
    assert shown.code == 99
    assert "✗ item: is a teapot  (0 of " in shown.out


@pytest.mark.requirement("WORK.4")
def test_a_threshold_with_abort_on_fail_stops_a_long_job_in_every_datacenter(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    job = write_job(
        tmp_path,
        target.url,
        workflow(steps=STEPS, constant_vus={"vus": 4, "duration": "60s"}),
        thresholds=[
            {"metric": "http_reqs", "expression": "count > 0"},
            {"metric": "http_req_failed{step:broken}", "expression": "rate < 50%", "abort_on_fail": True},
        ],
    )
    begun = time.monotonic()
    outcome = cluster.command("submit", str(job), "--watch", "--json")
    assert time.monotonic() - begun < 45
    result = outcome.last_json
    assert outcome.code == 99
    assert (result["status"], result["verdict"]) == ("failed", "failed")
    assert result["reasons"][0] == "threshold http_req_failed{step:broken}: rate < 50% was not met (observed 100%)"
    assert {part["status"] for part in result["datacenters"].values()} == {"cancelled"}
    assert [threshold["passed"] for threshold in result["thresholds"]] == [True, False]
    assert result["metrics"]["http_reqs"]["count"] > 0
    for part in result["datacenters"].values():
        assert part["metrics"]["http_reqs"]["count"] > 0


@pytest.mark.requirement("WORK.4")
def test_the_delay_lets_a_job_go_on_that_begins_badly(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    rule = {"metric": "http_req_failed", "expression": "rate < 1%", "abort_on_fail": True, "abort_delay": "30s"}
    job = write_job(tmp_path, target.url, workflow(steps=STEPS), thresholds=[rule])
    outcome = cluster.command("submit", str(job), "--watch", "--json")
    result = outcome.last_json
    assert (outcome.code, result["status"], result["verdict"]) == (99, "completed", "failed")
    (threshold,) = result["thresholds"]
    assert (threshold["observed"], threshold["passed"]) == (pytest.approx(0.5, abs=0.01), False)


def test_thresholds_by_step_and_datacenter_and_what_is_shown_of_them(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    metrics = ("http_req_failed{step:home}", "http_req_failed{datacenter:dc-1,workflow:browse,step:home}")
    rules = [{"metric": metric, "expression": "rate < 1%"} for metric in metrics]
    job = write_job(tmp_path, target.url, workflow(steps=STEPS), thresholds=rules)
    csv = tmp_path / "result.csv"
    outcome = cluster.command("submit", str(job), "--watch", "--json", "--out", f"csv={csv}")
    result = outcome.last_json
    assert (outcome.code, result["verdict"]) == (0, "passed")
    home, broken = (result["steps"]["browse"][step] for step in ("home", "broken"))
    assert home["http_reqs"]["count"] + broken["http_reqs"]["count"] == result["metrics"]["http_reqs"]["count"]
    assert (home["http_req_failed"]["rate"], broken["http_req_failed"]["rate"]) == (0, 1)
    assert f",{home['http_reqs']['count']},browse,home" in csv.read_text()
    windows = [line for line in map(json.loads, outcome.out.splitlines()) if line.get("event") == "window"]
    assert [threshold["metric"] for threshold in windows[-1]["thresholds"]] == list(metrics)
    shown = cluster.command("result", result["job_id"]).out
    assert "✓ http_req_failed{step:home}: rate < 1%  (observed 0%)" in shown


@pytest.mark.requirement("WORK.4")
def test_a_threshold_on_what_the_job_does_not_have_is_a_fault_with_its_path(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    metrics = ("http_reqs{step:hmoe}", "http_reqs{datacenter:atlantis}")
    rules = [{"metric": metric, "expression": "count > 1"} for metric in metrics]
    job = write_job(tmp_path, "http://127.0.0.1:1", thresholds=rules, datacenters={"required": ["dc-1"]})
    outcome = cluster.command("submit", str(job))
    assert outcome.code == 104
    assert "thresholds[0].metric: the job has no step 'hmoe'; did you mean 'home'?" in outcome.err
    assert "thresholds[1].metric: the job has no datacenter 'atlantis'" in outcome.err
