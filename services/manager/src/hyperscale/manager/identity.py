"""Who this manager is, and who may talk to it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.v1 import node_pb2


def _release() -> str:
    """Version of the installed distribution; empty when run from a source tree."""
    try:
        return version("hyperscale-manager")
    except PackageNotFoundError:
        return ""


_RELEASE = _release()


@dataclass(slots=True)
class ManagerIdentity:
    """Name and place of this manager.

    Attributes
    ----------
    endpoint
        Where it listens; the port is known once it does.
    """

    node_id: str
    datacenter: str
    cluster_id: str
    environment_id: str
    endpoint: Endpoint

    def node_info(self, state: node_pb2.NodeState.ValueType) -> node_pb2.NodeInfo:
        """What peers are told."""
        return node_pb2.NodeInfo(
            node_id=self.node_id,
            role=node_pb2.NODE_ROLE_MANAGER,
            datacenter=self.datacenter,
            endpoint=node_pb2.Endpoint(host=self.endpoint.host, port=self.endpoint.port),
            state=state,
            cluster_id=self.cluster_id,
            environment_id=self.environment_id,
            version=_RELEASE,
        )

    def admit_worker(self, worker: node_pb2.NodeInfo) -> None:
        """Raise unless the node is a worker of this datacenter, cluster and environment."""
        violations = _faults_of(worker)
        if violations:
            raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=violations)
        theirs = f"{worker.cluster_id}/{worker.environment_id}/{worker.datacenter}"
        ours = f"{self.cluster_id}/{self.environment_id}/{self.datacenter}"
        if theirs != ours:
            raise HyperscaleError(
                ErrorReason.WRONG_CLUSTER,
                f"worker {worker.node_id} belongs to {theirs} (cluster/environment/datacenter), this manager to {ours}",
                metadata={"caller_cluster": theirs, "node_cluster": ours},
            )


def _faults_of(worker: node_pb2.NodeInfo) -> list[FieldViolation]:
    faults = {
        "heartbeat.node.node_id": None if worker.node_id else "is required",
        "heartbeat.node.role": None if worker.role == node_pb2.NODE_ROLE_WORKER else "must be a worker",
        "heartbeat.node.endpoint": None if worker.endpoint.host and worker.endpoint.port else "is required",
    }
    return [FieldViolation(path, fault) for path, fault in faults.items() if fault]
