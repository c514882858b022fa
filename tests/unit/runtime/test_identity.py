"""Who a node is, whom it lets in, and how far it is in its life."""

from typing import Any

import pytest

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1 import node_pb2
from hyperscale.v1.node_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, NodeInfo

HOME = NodeIdentity("manager-1", NODE_ROLE_MANAGER, "east", "hyperscale", "production")


def worker(**changes: Any) -> NodeInfo:
    fields = {
        "node_id": "worker-1",
        "role": NODE_ROLE_WORKER,
        "datacenter": "east",
        "endpoint": node_pb2.Endpoint(host="127.0.0.1", port=4711),
        "cluster_id": "hyperscale",
        "environment_id": "production",
    }
    return NodeInfo(**{**fields, **changes})


def refusal(peer: NodeInfo, datacenter: str | None = None) -> HyperscaleError:
    with pytest.raises(HyperscaleError) as refused:
        HOME.admit(peer, NODE_ROLE_WORKER, datacenter=datacenter)
    return refused.value


def test_a_peer_of_the_same_cluster_and_environment_is_let_in() -> None:
    HOME.admit(worker(), NODE_ROLE_WORKER, datacenter="east")
    HOME.admit(worker(datacenter="west"), NODE_ROLE_WORKER)


@pytest.mark.parametrize("field", ["cluster_id", "environment_id", "datacenter"])
def test_a_peer_from_elsewhere_is_told_where_both_belong(field: str) -> None:
    error = refusal(worker(**{field: "mars"}), datacenter="east")
    assert error.reason is ErrorReason.WRONG_CLUSTER
    assert "mars" in error.metadata["caller_cluster"]
    assert error.metadata["node_cluster"] == "hyperscale/production/east"


def test_every_fault_of_an_introduction_is_told_with_its_path() -> None:
    error = refusal(NodeInfo(node_id="../etc"))
    assert error.reason is ErrorReason.INVALID_ARGUMENT
    assert [fault.path.removeprefix("heartbeat.node.") for fault in error.violations] == [
        "role",
        "node_id",
        "datacenter",
        "endpoint.host",
        "endpoint.port",
    ]


def test_a_node_takes_work_only_between_syncing_and_draining() -> None:
    node = NodeLifecycle(HOME)
    node.listens_at(Endpoint("127.0.0.1", 4711))
    with pytest.raises(HyperscaleError) as syncing:
        node.require_active()
    assert syncing.value.reason is ErrorReason.SYNCING
    node.activate()
    node.require_active()
    assert (node.info().state, node.info().endpoint.port) == (node_pb2.NODE_STATE_ACTIVE, 4711)
    node.drain()
    node.activate()
    with pytest.raises(HyperscaleError) as draining:
        node.require_active()
    assert draining.value.reason is ErrorReason.DRAINING
