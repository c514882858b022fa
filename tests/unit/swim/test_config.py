from __future__ import annotations

import pytest

from hyperscale.swim import SwimConfig


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SwimConfig.lan(), (1.0, 0.4, 4, 6, 3, 4, 3, 0.2, 30, 30, 10)),
        (SwimConfig.wan(), (5.0, 3.0, 6, 6, 3, 4, 4, 0.5, 60, 60, 30)),
        (SwimConfig.local(), (1.0, 0.2, 3, 6, 1, 2, 3, 0.1, 15, 15, 1)),
    ],
)
def test_presets_are_those_that_are_known_to_work(config: SwimConfig, expected: tuple[float, ...]) -> None:
    assert list(expected) == [
        config.probe_interval_seconds,
        config.probe_timeout_seconds,
        config.suspicion_multiplier,
        config.suspicion_max_multiplier,
        config.indirect_probes,
        config.retransmit_multiplier,
        config.gossip_nodes,
        config.gossip_interval_seconds,
        config.gossip_to_dead_seconds,
        config.push_pull_interval_seconds,
        config.stream_timeout_seconds,
    ]
    assert (config.awareness_max, config.payload_max_bytes) == (8, 1400)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"gossip_nodes.*payload_max_bytes.*probe_timeout_seconds"):
        SwimConfig(gossip_nodes=0, payload_max_bytes=70_000, probe_timeout_seconds=float("nan"))
