"""Sources are merged in order, every field has a flag with its meaning, all faults are reported at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import Field, model_validator

from hyperscale.runtime.config import NodeConfig, load_config
from hyperscale.runtime.errors import ConfigurationError
from hyperscale.runtime.logs import LogFormat, LogLevel

PREFIX = "HYPERSCALE_GATE_"


class GateConfig(NodeConfig):
    """The global front door."""

    peers: tuple[str, ...] = Field(default=(), description="Addresses of the other gates.")
    weights: list[float] = Field(default=[], description="Share of each peer, in %.")
    store: str = Field(description="Where state is kept.")

    @model_validator(mode="after")
    def _weights_match_peers(self) -> GateConfig:
        if self.weights and len(self.weights) != len(self.peers):
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
    assert load("--store", "memory://").node_id != config.node_id


@pytest.mark.parametrize("suffix", ["yaml", "json", "toml"])
def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"gate.{suffix}"
    written = {
        "yaml": "port: 1\nregion: file\ndrain_timeout_seconds: 1\npeers: [a:1, b:2]\n",
        "json": json.dumps({"port": 1, "region": "file", "drain_timeout_seconds": 1, "peers": ["a:1", "b:2"]}),
        "toml": 'port = 1\nregion = "file"\ndrain_timeout_seconds = 1\npeers = ["a:1", "b:2"]\n',
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


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("store: memory://\n", encoding="utf-8")
    assert load(HYPERSCALE_GATE_CONFIG=str(path)).store == "memory://"


def test_lists_are_comma_separated(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("weights: 1,2.5\n", encoding="utf-8")
    config = load("--peers", "a:1, b:2,", "--store", "x", "--config", str(path))
    assert config.peers == ("a:1", "b:2")
    assert config.weights == [1.0, 2.5]
    assert load("--store", "x", HYPERSCALE_GATE_PEERS="a:1").peers == ("a:1",)


@pytest.mark.parametrize("text", ["none", "null", "None", "1"])
def test_text_is_taken_as_it_is(text: str) -> None:
    assert load("--store", text).store == text
    assert load(HYPERSCALE_GATE_STORE=text).store == text


def test_the_last_flag_counts() -> None:
    config = load("--store", "x", "--store", "y", "--peers", "a:1", "--peers", "b:2", "--peers", "")
    assert (config.store, config.peers) == ("y", ())


def test_choices_may_be_written_as_the_help_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("log_level: ERROR\n", encoding="utf-8")
    assert load("--store", "x", "--config", str(path)).log_level is LogLevel.ERROR
    assert load("--store", "x", HYPERSCALE_GATE_LOG_LEVEL="WARNING").log_level is LogLevel.WARNING
    assert load("--store", "x", "--log-level", "DEBUG").log_level is LogLevel.DEBUG
    assert load("--store", "x", "--log-level", "debug").log_level is LogLevel.DEBUG


def test_a_configuration_made_directly_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert GateConfig(store="x").host == "127.0.0.1"


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
    path.write_text("prot: 1\nregion: [not, text]\n", encoding="utf-8")
    found = faults(
        "--config",
        str(path),
        "--port",
        "99999",
        "--lgo-level=debug",
        HYPERSCALE_GATE_DRAIN_TIMEOUT_SECONDS="soon",
        HYPERSCALE_GATE_REGOIN="eu",
        UNRELATED="x",
    )
    assert set(found) == {
        "prot",
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
    [
        ("gate.ini", ""),
        ("gate.yaml", "- a\n"),
        ("gate.yaml", "1: a\n"),
        ("gate.yaml", "a: [\n"),
        ("gate.json", "1"),
        ("gate.json", "{"),
        ("gate.toml", "="),
        ("none.yaml", None),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault_like_any_other(tmp_path: Path, name: str, text: str | None) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    found = faults("--config", str(path))
    assert set(found) == {"config", "store"}
    assert str(path) in found["config"]


def test_a_file_cannot_name_another(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("config: other.yaml\nstore: x\n", encoding="utf-8")
    assert set(faults("--config", str(path))) == {"config"}


def test_a_flag_without_its_value_is_a_fault_and_leaves_those_before_it() -> None:
    found = faults("--store", "x", "--port", HYPERSCALE_GATE_REGOIN="eu")
    assert set(found) == {"--port", "HYPERSCALE_GATE_REGOIN"}
    assert "expected one argument" in found["--port"]


def test_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load("--store", "x").port = 1  # type: ignore[misc]


def test_help_explains_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load("--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The global front door." in text
    assert "--drain-timeout-seconds float" in text
    assert "exits within this time. (default: 30.0) [env: HYPERSCALE_GATE_DRAIN_TIMEOUT_SECONDS]" in text
    assert "--insecure, --no-insecure" in text
    assert "--log-level {DEBUG,INFO,WARNING,ERROR}" in text
    assert "Share of each peer, in %. [env: HYPERSCALE_GATE_WEIGHTS]" in text
    assert "Where state is kept. (required) [env: HYPERSCALE_GATE_STORE]" in text
    assert "if not given. [env: HYPERSCALE_GATE_NODE_ID]" in text
    assert "--config Path" in text


def test_every_field_of_every_node_has_a_description() -> None:
    assert all(field.description for field in NodeConfig.model_fields.values())
