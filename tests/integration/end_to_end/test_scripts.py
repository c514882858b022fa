"""Templates, checks, extractions and data feeds through the whole suite."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.examples import EXAMPLES, example
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, hyperscale
from tests.support.recording_target import recording_target
from tests.support.target import BundledTarget

LOGIN = EXAMPLES / "login.yaml"


def test_the_login_example_passes_and_shows_its_checks(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    outcome = cluster.watch(example("login.yaml", tmp_path), "--target", target.url)
    assert outcome.code == 0, outcome
    assert "✓ login: gives a token" in outcome.out
    assert "✓ me: knows the user" in outcome.out
    assert "verdict: passed" in outcome.out


def test_validate_tells_faults_of_templates_with_their_places(tmp_path: Path) -> None:
    text = LOGIN.read_text().replace("{{token}}", "{{tokn}}").replace("{{account.name}}", "{{account.nme}}")
    (tmp_path / "login.yaml").write_text(text)
    outcome = hyperscale("validate", str(tmp_path / "login.yaml"))
    assert outcome.code == 104
    told = outcome.out + outcome.err
    assert "workflows[0].steps[0].http.json.user" in told
    assert "no column 'nme'" in told
    assert "workflows[0].steps[1].http.headers['Authorization']" in told
    assert "no earlier step extracts 'tokn'" in told


@pytest.mark.requirement("X.4")
@pytest.mark.parametrize("distribution", ["split", "replicate"])
def test_unique_rows_and_numbers_are_used_once_in_all_datacenters(
    cluster: LocalCluster, tmp_path: Path, distribution: str
) -> None:
    rows = {"name": "rows", "mode": "unique", "csv": "id\n" + "".join(f"row{n}\n" for n in range(301))}
    step = {"name": "take", "http": {"url": "/{{rows.id}}/{{counter}}/{{vu}}"}}
    users = 10
    load = workflow(steps=[step], feeds=[rows], constant_vus={"vus": users, "duration": "60s"})
    with recording_target() as target:
        job_file = write_job(tmp_path, target.url, load, distribution=distribution)
        result = cluster.completed(job_file)
        seen = [request.path.split("/")[1:] for request in target.seen]
    assert [part["metrics"]["http_reqs"]["count"] > 0 for part in result["datacenters"].values()] == [True, True]
    assert Counter(row for row, _, _ in seen) == {f"row{n}": 1 for n in range(301)}
    assert max(Counter(counter for _, counter, _ in seen).values()) == 1
    assert len({vu for _, _, vu in seen}) <= (users if distribution == "split" else 2 * users)
    assert result["elapsed_seconds"] < 45, "users end when the rows are used up"


def test_variables_of_the_command_line_fill_templates(cluster: LocalCluster, tmp_path: Path) -> None:
    step = {"name": "take", "http": {"url": "/{{vars.shop}}?q={{vars.query}}"}}
    load = workflow(steps=[step], shared_iterations={"vus": 1, "iterations": 1})
    with recording_target() as target:
        job_file = write_job(tmp_path, target.url, load, variables={"shop": "file", "query": "a b"})
        cluster.submit(job_file, "--watch", "-e", "shop=mine", "--var", "unused=")
        assert [request.path for request in target.seen] == ["/mine?q=a%20b"] * 2
