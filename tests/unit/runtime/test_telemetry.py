"""Metrics of a process: what they cost when nobody collects them, and how they leave."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hyperscale.runtime.telemetry import checked_collector, exporting_telemetry
from tests.support.otlp_collector import collecting, series
from tests.unit.runtime.test_process import Sample, finished


def test_a_node_without_a_collector_loads_nothing_for_it() -> None:
    program = "import sys, hyperscale.runtime.process as p; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "url", ["collector:4317", "ftp://collector:21", "http://collector", "http://:4317", "http://c:1/x"]
)
def test_a_collector_needs_a_scheme_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="is not http://host:port"):
        checked_collector(url)


async def test_what_is_counted_is_exported_at_the_latest_when_it_closes() -> None:
    async with collecting() as collector:
        telemetry = exporting_telemetry(collector.endpoint, 3600, {"service.name": "x"}, lambda: {"sweep": 2})
        telemetry.meter.create_counter("made").add(3, {"kind": "a"})
        telemetry.meter.create_gauge("level").set(1.5)
        telemetry.meter.create_histogram("time", explicit_bucket_boundaries_advisory=[1.0]).record(0.5)
        await telemetry.close(timeout_seconds=5)
        assert collector.values == {
            series("made", kind="a"): 3,
            series("level"): 1.5,
            series("time"): 1,
            series("hyperscale.background_failures_total", work="sweep"): 2,
        }
        assert collector.resource["service.name"] == "x"


async def test_a_collector_that_is_gone_neither_stops_a_node_nor_keeps_it_from_ending(tmp_path: Path) -> None:
    sample = Sample(tmp_path / "ready.json")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        # It has something to tell: work that fails.
        process = await sample.start("--otlp-endpoint", endpoint, "--behaviour", "abandon")
        await sample.ready()
        process.send_signal(signal.SIGTERM)
        asked_at = time.monotonic()
        code, log = await finished(process)
    assert code == 0
    assert "while exporting metrics" in log
    assert time.monotonic() - asked_at < 20
