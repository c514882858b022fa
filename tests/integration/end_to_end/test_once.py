"""Setup and teardown through the whole suite, counted by the target: each at most once, whoever dies."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import example
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.processes import eventually, killed_and_restarted
from tests.support.recording_target import Reaction, RecordingTarget, SeenRequest, recording_target
from tests.support.target import BundledTarget

CREATE = {
    "name": "create",
    "http": {"url": "/create", "method": "post"},
    "extract": [{"variable": "id", "header": "X-Id"}],
}
LOOK = {"name": "look", "http": {"url": "/look/{{id}}"}, "think_time": {"constant": "10ms"}}
REMOVE = {"name": "remove", "http": {"url": "/remove/{{id}}", "method": "post"}}
LEAVE = {"name": "leave", "http": {"url": "/leave", "method": "post"}}


class Shop:
    """A target that makes something with an identity, as slowly as the test wants, or not at all."""

    def __init__(self) -> None:
        self.may_create = threading.Event()
        self.may_create.set()
        self.create_status = 200
        self.served: RecordingTarget | None = None

    def react(self, request: SeenRequest) -> Reaction:
        if request.path != "/create":
            return Reaction()
        self.may_create.wait(30)
        return Reaction(status=self.create_status, headers={"X-Id": "7"} if self.create_status == 200 else {})

    @property
    def target(self) -> RecordingTarget:
        assert self.served is not None
        return self.served

    @property
    def loads(self) -> int:
        return sum(request.path.startswith("/look/") for request in self.target.seen)

    @property
    def once(self) -> list[str]:
        """What was done apart from load, in order."""
        return [request.path for request in self.target.seen if not request.path.startswith("/look/")]


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    with recording_target(shop.react) as served:
        shop.served = served
        yield shop
        shop.may_create.set()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two datacenters; what these tests kill they start again."""
    with local_cluster(tmp_path_factory.mktemp("once"), datacenters=2) as running:
        yield running


@pytest.fixture(scope="module")
def restarts(cluster: LocalCluster) -> Iterator[ExitStack]:
    """Nodes that were killed and started again, until the cluster is stopped."""
    with ExitStack() as stack:
        yield stack


def submitted(cluster: LocalCluster, shop: Shop, directory: Path, seconds: int = 60, **fields: Any) -> str:
    load = workflow(
        "shop",
        steps=[LOOK],
        setup=[CREATE],
        teardown=[REMOVE, LEAVE],
        constant_vus={"vus": 2, "duration": f"{seconds}s"},
        **fields,
    )
    return cluster.submit(write_job(directory, shop.target.url, load))


def making_load(shop: Shop) -> None:
    eventually(lambda: shop.loads > 10, what="load on the target")


def test_the_example_passes(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    outcome = cluster.watch(example("setup.yaml", tmp_path), "--target", target.url, "--var", "user=bob")
    assert outcome.code == 0, outcome
    assert "✓ setup_requests: count == 2" in outcome.out
    assert "✓ teardown_requests: count == 1" in outcome.out


@pytest.mark.requirement("X.3")
def test_a_job_in_two_datacenters_has_one_setup_and_one_teardown(
    cluster: LocalCluster, shop: Shop, tmp_path: Path
) -> None:
    result = cluster.ended(submitted(cluster, shop, tmp_path, seconds=1), 60)
    assert result["status"] == "completed", result
    assert shop.once == ["/create", "/remove/7", "/leave"]
    assert {path for request in shop.target.seen if (path := request.path).startswith("/look")} == {"/look/7"}
    order = [request.path for request in shop.target.seen]
    assert (order[0], order[-2:]) == ("/create", ["/remove/7", "/leave"])
    metrics = {name: result["metrics"][name]["count"] for name in ("http_reqs", "setup_requests", "teardown_requests")}
    assert metrics == {"http_reqs": shop.loads, "setup_requests": 1, "teardown_requests": 2}
    assert all(part["metrics"]["http_reqs"]["count"] for part in result["datacenters"].values())
    assert set(result["steps"]) == {"shop", "shop.setup", "shop.teardown"}


@pytest.mark.requirement("X.3")
def test_once_per_datacenter_is_once_in_each(cluster: LocalCluster, shop: Shop, tmp_path: Path) -> None:
    result = cluster.ended(submitted(cluster, shop, tmp_path, seconds=1, once_per="datacenter"), 60)
    assert result["status"] == "completed", result
    assert sorted(shop.once) == ["/create", "/create", "/leave", "/leave", "/remove/7", "/remove/7"]


@pytest.mark.requirement("X.3")
def test_a_cancelled_job_is_torn_down_once(cluster: LocalCluster, shop: Shop, tmp_path: Path) -> None:
    job_id = submitted(cluster, shop, tmp_path)
    making_load(shop)
    assert cluster.command("cancel", job_id).code == 0
    assert cluster.ended(job_id, 60)["status"] == "cancelled"
    assert shop.once == ["/create", "/remove/7", "/leave"]


@pytest.mark.requirement("X.3")
def test_a_setup_that_fails_ends_the_job_and_what_it_had_done_is_torn_down(
    cluster: LocalCluster, shop: Shop, tmp_path: Path
) -> None:
    shop.create_status = 503
    result = cluster.ended(submitted(cluster, shop, tmp_path), 30)
    assert (result["status"], shop.loads, shop.once) == ("failed", 0, ["/create", "/leave"])
    assert "setup of shop: " in result["reasons"][0]
    assert "step 'create' failed (status)" in result["reasons"][0]


@pytest.mark.requirement("X.3")
def test_a_setup_without_end_is_ended(cluster: LocalCluster, shop: Shop, tmp_path: Path) -> None:
    shop.may_create.clear()
    result = cluster.ended(submitted(cluster, shop, tmp_path, setup_timeout="500ms"), 30)
    assert (result["status"], shop.loads, shop.once) == ("failed", 0, ["/create", "/leave"])
    assert "did not end within 0.5 s" in result["reasons"][0]


@pytest.mark.requirement("X.3")
def test_a_job_whose_worker_dies_under_load_is_torn_down_once(
    cluster: LocalCluster, restarts: ExitStack, shop: Shop, tmp_path: Path
) -> None:
    job_id = submitted(cluster, shop, tmp_path)
    making_load(shop)
    worker = cluster.node("worker")
    restarts.enter_context(killed_and_restarted(worker))
    result = cluster.ended(job_id, 60)
    assert result["status"] == "failed"
    assert worker["node_id"] in " ".join(result["reasons"])
    assert shop.once == ["/create", "/remove/7", "/leave"]


@pytest.mark.requirement("X.3")
def test_a_setup_whose_manager_dies_is_not_run_again(
    cluster: LocalCluster, restarts: ExitStack, shop: Shop, tmp_path: Path
) -> None:
    shop.may_create.clear()
    job_id = submitted(cluster, shop, tmp_path)
    eventually(lambda: shop.once == ["/create"], what="the setup")
    restarts.enter_context(killed_and_restarted(cluster.node("manager")))
    result = cluster.ended(job_id, 60)
    assert (result["status"], shop.loads) == ("failed", 0)
    # Which of the two is said depends on how soon it is back: its leader was lost, or nobody answers any more.
    assert any(reason.startswith("dc-1: setup of shop: ") for reason in result["reasons"])
    assert shop.once == ["/create", "/leave"]


@pytest.mark.requirement("X.3")
def test_a_job_whose_gate_dies_under_load_is_torn_down_once(
    cluster: LocalCluster, restarts: ExitStack, shop: Shop, tmp_path: Path
) -> None:
    job_id = submitted(cluster, shop, tmp_path)
    making_load(shop)
    gate = cluster.node("gate")
    restarts.enter_context(killed_and_restarted(gate))
    result = cluster.ended(job_id, 60)
    assert result["status"] == "failed"
    assert f"gate {gate['node_id']} restarted while the job was under way" in result["reasons"]
    assert shop.once == ["/create", "/remove/7", "/leave"]
