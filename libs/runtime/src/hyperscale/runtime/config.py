"""Configuration of a node: defaults, then a file, then the environment, then flags; every fault reported at once.

pydantic validates. The sources are read here, so that a fault names the flag, variable or file it came from.
"""

from __future__ import annotations

import json
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyperscale.runtime._config_fields import ConfigField, config_fields
from hyperscale.runtime._config_flags import parse_flags
from hyperscale.runtime.errors import ConfigurationError, FieldViolation
from hyperscale.runtime.logs import LogFormat, LogLevel

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

_PARSERS: Mapping[str, Callable[[str], Any]] = {
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
    ".json": json.loads,
    ".toml": tomllib.loads,
}


def _generated_node_id() -> str:
    return f"node-{uuid.uuid4().hex[:8]}"


class NodeConfig(BaseModel):
    """What every node needs to know, whatever its role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_id: str = Field(
        default_factory=_generated_node_id,
        pattern=_IDENTIFIER,
        description="Name of this node, unique in its cluster. Generated at each start if not given.",
    )
    cluster_id: str = Field(
        default="hyperscale", pattern=_IDENTIFIER, description="Nodes of another cluster are refused."
    )
    environment_id: str = Field(
        default="default",
        pattern=_IDENTIFIER,
        description="Nodes of another environment (production, staging) are refused.",
    )
    region: str = Field(default="local", pattern=_IDENTIFIER, description="Region of this node; part of job ids.")
    datacenter: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$",
        description="Datacenter that this node serves; empty for a gate.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=0, ge=0, le=65535, description="TCP port to listen on; 0 lets the system choose.")
    insecure: bool = Field(
        default=False, description="Allow unencrypted serving on an address that other machines can reach."
    )
    drain_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="After SIGTERM the node hands over its work and exits within this time.",
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="Least severe level that is logged.")
    log_format: LogFormat = Field(default=LogFormat.JSON, description="json for programs, console for people.")
    ready_file: Path | None = Field(
        default=None, description="File that describes the node in JSON from when it serves until it exits."
    )
    exit_with_parent: bool = Field(
        default=False, description="Drain and exit when the process that started this one is gone."
    )


@dataclass(slots=True)
class _Values:
    """What the sources said so far: the last one to name a field wins."""

    by_path: dict[tuple[str, ...], Any] = field(default_factory=dict)
    sources: dict[tuple[str, ...], str] = field(default_factory=dict)
    violations: list[FieldViolation] = field(default_factory=list)

    def put(self, config_field: ConfigField, value: Any, source: str) -> None:
        self.by_path[config_field.path] = config_field.split(value)
        self.sources[config_field.path] = source

    def nested(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for path, value in self.by_path.items():
            target = result
            for name in path[:-1]:
                target = target.setdefault(name, {})
            target[path[-1]] = value
        return result


def load_config(
    config_class: type[ConfigT], argv: Sequence[str], prog: str, env_prefix: str, environ: Mapping[str, str]
) -> ConfigT:
    """Read the configuration of a process.

    Parameters
    ----------
    config_class
        Every field needs a description; fields that are models themselves are flattened into their fields' flags.
    argv
        Arguments without the program's name. ``--help`` prints every field and exits.
    env_prefix
        Prefix of the environment variables, such as ``HYPERSCALE_GATE_``. A variable with this prefix that is no field
        is a fault: it is a misspelt one.

    Raises `ConfigurationError` with every fault of every source.
    """
    fields = tuple(config_fields(config_class, env_prefix))
    flags = parse_flags(fields, argv, prog, config_class.__doc__ or "")
    values = _Values(violations=list(flags.violations))
    config_variable = f"{env_prefix}CONFIG"
    config_file = flags.config_file or environ.get(config_variable)
    if config_file is not None:
        _read_file(Path(config_file), fields, values)
    _read_environment(fields, environ, env_prefix, config_variable, values)
    for config_field, value in flags.values:
        values.put(config_field, value, config_field.flag)
    return _validated(config_class, values)


def _validated(config_class: type[ConfigT], values: _Values) -> ConfigT:
    try:
        config = config_class.model_validate(values.nested())
    except ValidationError as error:
        raise ConfigurationError([*values.violations, *_violations(error, values)]) from None
    if values.violations:
        raise ConfigurationError(values.violations)
    return config


def _violations(error: ValidationError, values: _Values) -> Iterator[FieldViolation]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        location = tuple(str(part) for part in fault["loc"])
        sources = [source for path, source in values.sources.items() if location[: len(path)] == path]
        origin = f" (from {sources[0]})" if sources else ""
        yield FieldViolation(".".join(location) or "configuration", fault["msg"] + origin)


def _read_file(path: Path, fields: Sequence[ConfigField], values: _Values) -> None:
    parse = _PARSERS.get(path.suffix)
    if parse is None:
        values.violations.append(FieldViolation("config", f"{path} is none of {', '.join(_PARSERS)}"))
        return
    try:
        document = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        values.violations.append(FieldViolation("config", f"cannot read {path}: {error}"))
        return
    if not isinstance(document, Mapping):
        values.violations.append(FieldViolation("config", f"{path} must hold a mapping of field names to values"))
        return
    by_path = {config_field.path: config_field for config_field in fields}
    for location, value in _flattened(document, by_path, ()):
        if location in by_path:
            values.put(by_path[location], value, str(path))
        else:
            values.violations.append(FieldViolation(".".join(location), f"no such field (from {path})"))


def _flattened(
    document: Mapping[Any, Any], fields: Mapping[tuple[str, ...], ConfigField], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in document.items():
        location = (*above, str(name))
        is_section = any(path[: len(location)] == location for path in fields if len(path) > len(location))
        if is_section and isinstance(value, Mapping):
            yield from _flattened(value, fields, location)
        else:
            yield location, value


def _read_environment(
    fields: Sequence[ConfigField], environ: Mapping[str, str], prefix: str, config_variable: str, values: _Values
) -> None:
    by_variable = {config_field.variable: config_field for config_field in fields}
    for variable in sorted(name for name in environ if name.startswith(prefix) and name != config_variable):
        if variable in by_variable:
            values.put(by_variable[variable], environ[variable], variable)
        else:
            values.violations.append(FieldViolation(variable, "no field has this environment variable"))
