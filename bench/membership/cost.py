"""What membership costs: CPU of one node of a large group at rest, of its codec, and of the simulator itself."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable

from bench.membership.settings import MembershipSettings
from bench.rows import Bound, Row
from hyperscale.swim.keyring import DatagramSeal, Keyring, SealIdentity
from hyperscale.swim.simulator.options import SimulationOptions
from hyperscale.swim.simulator.simulation import Simulation
from hyperscale.swim.wire import decode

_NODES = 1000
_IDLE_SECONDS = 60.0
_SIMULATED_SECONDS = 60.0
_REPETITIONS = 20_000


def measure_speed(settings: MembershipSettings) -> list[Row]:
    """Simulate a large group for a minute; CPU time, so that whatever else runs here does not count."""
    nodes = min(_NODES, settings.nodes_max)
    began = time.process_time()
    simulation = Simulation(SimulationOptions(nodes=nodes))
    made = time.process_time()
    simulation.run(_SIMULATED_SECONDS)
    ended = time.process_time()
    note = f"and {made - began:.1f} s to make the nodes; {sum(simulation.recorder.datagrams_sent)} datagrams"
    name = f"simulation of {nodes} nodes × 60 s, CPU"
    return [Row(name, ended - made, Bound.AT_MOST, 60.0, "s", note)]


def measure_idle(settings: MembershipSettings) -> list[Row]:
    """Encrypted traffic of a group at rest, as one of its nodes has it, while the clock of that node alone is read."""
    nodes = min(_NODES, settings.nodes_max)
    simulation = Simulation(SimulationOptions(nodes=nodes, is_encrypted=True))
    simulation.run(5.0)
    watched = _CpuMeter(simulation, 7)
    gc.collect()
    simulation.run(_IDLE_SECONDS)
    share = 100 * watched.seconds / _IDLE_SECONDS
    note = f"{watched.calls / _IDLE_SECONDS:.1f} calls/s, each through seal and codec"
    return [Row(f"idle node among {nodes}, share of a core", share, Bound.AT_MOST, 2.0, "%", note)]


def measure_codec(settings: MembershipSettings) -> list[Row]:
    """Time of one datagram of usual size, as it comes in and as it goes out."""
    plain = _usual_datagram()
    sender, receiver = _seal("n1"), _seal("n2")
    sealed = iter([sender.seal(plain) for _ in range(_REPETITIONS)])
    rows = {
        "decode": lambda: decode(plain),
        "seal": lambda: sender.seal(plain),
        "open": lambda: receiver.open(next(sealed)),
    }
    return [
        Row(f"codec: {name} {len(plain)} bytes", _microseconds(action), Bound.AT_MOST, 25.0, "µs")
        for name, action in rows.items()
    ]


class _CpuMeter:
    """Adds up the CPU time that the core of one node of a simulation uses."""

    def __init__(self, simulation: Simulation, number: int) -> None:
        self.seconds = 0.0
        self.calls = 0
        swim = simulation.nodes[number].swim
        simulation.nodes[number].swim = _Metered(swim, self)  # type: ignore[assignment]


class _Metered:
    def __init__(self, swim: object, meter: _CpuMeter) -> None:
        self._swim = swim
        self._meter = meter

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._swim, name)

        def metered(*arguments: object) -> object:
            began = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self._meter.seconds += time.perf_counter() - began
                self._meter.calls += 1

        return metered


def _usual_datagram() -> bytes:
    simulation = Simulation(SimulationOptions(nodes=16))
    simulation.run(10.0)
    node = simulation.nodes[0]
    node.swim.set_metadata(bytes(range(200)), simulation.now)
    simulation.nodes[1].swim.leave(simulation.now)
    while not (datagrams := node.swim.datagrams_to_send(simulation.now)):
        deadline = node.swim.next_deadline()
        simulation.now = max(simulation.now, deadline or 0.0)
        node.swim.handle_timer(simulation.now)
    return max((datagram.data for datagram in datagrams), key=len)


def _seal(node_id: str) -> DatagramSeal:
    identity = SealIdentity("simulation", "test", node_id, 1)
    return DatagramSeal(Keyring(bytes(32)), identity, random.Random(node_id).randbytes)


def _microseconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(_REPETITIONS):
        action()
    return (time.process_time() - began) / _REPETITIONS * 1e6
