"""Sources are merged in order, every field has a flag with its meaning, all faults are reported at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hyperscale.runtime.config import NodeConfig, load_config
from hyperscale.runtime.errors import ConfigurationError
from hyperscale.runtime.logs import LogFormat, LogLevel

PREFIX = "HYPERSCALE_GATE_"


class ProbeConfig(BaseModel):
    """A section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval_seconds: float = Field(default=1.0, gt=0, description="Time between probes.")


class GateConfig(NodeConfig):
    """The global front door.

    More text that the help does not need.
    """

    peers: tuple[str, ...] = Field(default=(), description="Addresses of the other gates.")
    weights: list[float] | None = Field(default=None, description="Share of each peer, in %.")
    probe: ProbeConfig = ProbeConfig()
    store: str = Field(description="Where state is kept.")

    @model_validator(mode="after")
    def _weights_match_peers(self) -> GateConfig:
        if self.weights is not None and len(self.weights) != len(self.peers):
            raise ValueError("as many weights as peers are needed")
        return self


def load(*argv: str, **environ: str) -> GateConfig:
    return load_config(GateConfig, argv, "hyperscale-gate", PREFIX, environ)


def faults(*argv: str, **environ: str) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as failure:
        load(*argv, **environ)
    return {violation.path: violation.message for violation in failure.value.violations}


def test_defaults_are_safe() -> None:
    config = load("--store", "memory://")
    assert (config.host, config.port, config.insecure) == ("127.0.0.1", 0, False)
    assert (config.log_level, config.log_format) == (LogLevel.INFO, LogFormat.JSON)
    assert config.ready_file is None
    assert config.probe.interval_seconds == 1.0
    assert load("--store", "memory://").node_id != config.node_id


@pytest.mark.parametrize("suffix", ["yaml", "json", "toml"])
def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"gate.{suffix}"
    written = {
        "yaml": "port: 1\nregion: file\ndrain_timeout_seconds: 1\npeers: [a:1, b:2]\nprobe:\n  interval_seconds: 7\n",
        "json": json.dumps(
            {
                "port": 1,
                "region": "file",
                "drain_timeout_seconds": 1,
                "peers": ["a:1", "b:2"],
                "probe": {"interval_seconds": 7},
            }
        ),
        "toml": (
            'port = 1\nregion = "file"\ndrain_timeout_seconds = 1\npeers = ["a:1", "b:2"]\n'
            "[probe]\ninterval_seconds = 7\n"
        ),
    }
    path.write_text(written[suffix], encoding="utf-8")
    config = load(
        "--config",
        str(path),
        "--drain-timeout-seconds=3",
        "--store=memory://",
        HYPERSCALE_GATE_REGION="environment",
        HYPERSCALE_GATE_DRAIN_TIMEOUT_SECONDS="2",
    )
    assert (config.port, config.region, config.drain_timeout_seconds) == (1, "environment", 3)
    assert config.peers == ("a:1", "b:2")
    assert config.probe.interval_seconds == 7


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("store: memory://\n", encoding="utf-8")
    assert load(HYPERSCALE_GATE_CONFIG=str(path)).store == "memory://"


def test_lists_are_comma_separated_and_sections_flattened() -> None:
    config = load(
        "--peers", "a:1, b:2,", "--store", "x", "--probe-interval-seconds", "0.5", HYPERSCALE_GATE_WEIGHTS="1,2.5"
    )
    assert config.peers == ("a:1", "b:2")
    assert config.weights == [1.0, 2.5]
    assert config.probe.interval_seconds == 0.5


@pytest.mark.parametrize(
    ("argv", "environ", "insecure"),
    [
        (["--insecure"], {}, True),
        (["--no-insecure"], {"HYPERSCALE_GATE_INSECURE": "true"}, False),
        ([], {"HYPERSCALE_GATE_INSECURE": "true"}, True),
    ],
)
def test_switches(argv: list[str], environ: dict[str, str], insecure: bool) -> None:
    assert load(*argv, "--store", "x", **environ).insecure is insecure


def test_every_fault_of_every_source_is_reported_with_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("prot: 1\nregion: [not, text]\nprobe:\n  intervall: 1\n", encoding="utf-8")
    found = faults(
        "--config",
        str(path),
        "--port",
        "99999",
        "--lgo-level",
        HYPERSCALE_GATE_DRAIN_TIMEOUT_SECONDS="soon",
        HYPERSCALE_GATE_REGOIN="eu",
        UNRELATED="x",
    )
    assert set(found) == {
        "prot",
        "probe.intervall",
        "region",
        "port",
        "--lgo-level",
        "drain_timeout_seconds",
        "HYPERSCALE_GATE_REGOIN",
        "store",
    }
    assert "(from --port)" in found["port"]
    assert "(from HYPERSCALE_GATE_DRAIN_TIMEOUT_SECONDS)" in found["drain_timeout_seconds"]
    assert str(path) in found["region"]
    assert str(path) in found["prot"]


def test_faults_between_fields_and_inside_lists_are_named() -> None:
    assert "as many weights" in faults("--store=x", "--weights=1,2")["configuration"]
    assert "(from --weights)" in next(
        message for path, message in faults("--store=x", "--weights=1,x").items() if path.startswith("weights.1")
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [("gate.ini", ""), ("gate.yaml", "- a\n"), ("gate.json", "{"), ("gate.toml", "="), ("none.yaml", None)],
)
def test_a_file_that_cannot_be_read_is_a_fault_like_any_other(tmp_path: Path, name: str, text: str | None) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert {"config", "store"} <= set(faults("--config", str(path)))


def test_a_flag_without_its_value_is_a_fault() -> None:
    assert "expected one argument" in faults("--port")["--port"]


def test_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load("--store", "x").port = 1  # type: ignore[misc]


def test_help_explains_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load("--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The global front door." in text
    assert "--drain-timeout-seconds SECONDS" in text
    assert "exits within this time. Default: 30.0. Environment: HYPERSCALE_GATE_DRAIN_TIMEOUT_SECONDS." in text
    assert "--insecure, --no-insecure" in text
    assert "One of debug, info, warning, error. Default: info." in text
    assert "Share of each peer, in %. Default: none." in text
    assert "Where state is kept. Required." in text
    assert "--probe-interval-seconds" in text


def test_every_field_of_every_node_has_a_description() -> None:
    assert all(field.description for field in NodeConfig.model_fields.values())
