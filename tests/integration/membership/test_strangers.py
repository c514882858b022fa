"""Who has no key, or belongs elsewhere, stays out; keys change without anybody noticing."""

import base64
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hyperscale.runtime.process import NodeExitCode
from tests.support.processes import eventually
from tests.support.services import Service, services

OLD, NEW, WRONG = (base64.b64encode(bytes([number]) * 32).decode() for number in range(3))
REFUSED = "membership input refused"
_BETWEEN_NODES_SECONDS = 0.5
_PROBES_SECONDS = 3.0
"""Everybody has been probed some times."""


def _write(path: Path, *keys: str) -> Path:
    path.write_text("\n".join(("# the first one encrypts", *keys)))
    return path


def _rotate(nodes: Sequence[Service], path: Path, *keys: str) -> None:
    """Give all nodes other keys, one after the other."""
    _write(path, *keys)
    before = [len(node.log("membership keys read")) for node in nodes]
    for node, times in zip(nodes, before, strict=True):
        node.send(signal.SIGHUP)
        eventually(
            lambda node=node, times=times: len(node.log("membership keys read")) > times,  # type: ignore[misc]
            what=f"{node.node_id} reads its keys",
        )
        time.sleep(_BETWEEN_NODES_SECONDS)


def _until_refused(node: Service, reason: str, detail: str) -> None:
    def told() -> bool:
        return any(detail in line["detail"] and line["count"] > 0 for line in node.log(REFUSED, reason=reason))

    eventually(told, what=f"{node.node_id} says that it refuses: {reason}, {detail}")


@pytest.mark.requirement("SEC.2")
def test_an_encrypted_group_changes_its_keys_without_a_suspicion_and_strangers_stay_out(tmp_path: Path) -> None:
    keys, old_keys = tmp_path / "keys", _write(tmp_path / "old-keys", OLD)
    _write(keys, OLD)
    with services(tmp_path, "--membership-keys-file", str(keys)) as started:
        manager = started.manager("manager-1")
        nodes = [manager, started.worker("worker-1", manager.address)]
        eventually(lambda: manager.alive() == {"manager-1", "worker-1"}, what="the group")
        for step in ((OLD, NEW), (NEW, OLD), (NEW,)):
            _rotate(nodes, keys, *step)
        time.sleep(_PROBES_SECONDS)
        late = started.worker("worker-2", manager.address)
        eventually(
            lambda: all(node.alive() == {"manager-1", "worker-1", "worker-2"} for node in (*nodes, late)),
            what="a newcomer with the new key alone",
        )
        assert not any(node.log("member suspected") or node.log("this node was taken for gone") for node in nodes)

        stranger = started.start_worker("worker-3", manager.address, "--membership-keys-file", str(old_keys))
        _until_refused(manager, "undecryptable", "encrypted with a key that this node does not have")
        _until_refused(stranger, "undecryptable", "encrypted with a key that this node does not have")
        started.ready(stranger)
        assert "worker-3" not in manager.nodes()
        assert set(stranger.nodes()) == {"worker-3"}

        _write(keys, "no key")
        manager.send(signal.SIGHUP)
        eventually(lambda: "line 2: no base64" in manager.log_file.read_text(), what="the fault")
        assert manager.alive() == {"manager-1", "worker-1", "worker-2"}


def test_faulty_keys_are_told_at_the_start(tmp_path: Path) -> None:
    keys = _write(tmp_path / "keys", OLD, "c2hvcnQ=")
    with services(tmp_path, "--membership-keys-file", str(keys)) as started:
        node = started.start_worker("worker-1", "127.0.0.1:1")
        assert node.process.wait(timeout=60) == NodeExitCode.CONFIGURATION
        said = node.log_file.read_text()
        assert f"membership_keys_file: {keys}, line 3: no base64 of 16, 24, 32 bytes" in said
        assert "c2hvcnQ" not in said


@pytest.mark.requirement("AD-28.2")
@pytest.mark.parametrize(
    ("option", "reason"), [("--cluster-id", "wrong_cluster"), ("--environment-id", "wrong_environment")]
)
def test_a_worker_of_another_cluster_or_environment_is_refused_and_both_sides_say_so(
    option: str, reason: str, tmp_path: Path
) -> None:
    with services(tmp_path, "--membership-profile", "local") as started:
        manager = started.manager("manager-1")
        stranger = started.start_worker("worker-1", manager.address, option, "other")
        _until_refused(manager, reason, "'worker-1' is of cluster")
        _until_refused(stranger, "refused_by_peer", f"{reason} says cluster")
        assert set(manager.nodes()) == {"manager-1"}
        assert not manager.ping_manager().workers
