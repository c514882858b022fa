"""Configuration of a node: defaults, then a file, then the environment, then flags; every fault reported at once.

pydantic-settings reads and merges the sources. Added here: every source is read before the first fault is reported, what
no source would notice (unknown flags, misspelt variables, absent files) is a fault, and faults name where they came from.
"""

from __future__ import annotations

import re
import uuid
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_origin

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    JsonConfigSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ConfigurationError, FieldViolation
from hyperscale.runtime.logs import LogFormat, LogLevel
from hyperscale.runtime.membership.profile import MembershipProfile
from hyperscale.runtime.membership.seeds import checked_seed
from hyperscale.runtime.telemetry import checked_collector

ConfigT = TypeVar("ConfigT", bound="NodeConfig")

_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

_FILE_SOURCES: Final[Mapping[str, Callable[[type[BaseSettings], Path], InitSettingsSource]]] = {
    ".yaml": YamlConfigSettingsSource,
    ".yml": YamlConfigSettingsSource,
    ".json": JsonConfigSettingsSource,
    ".toml": TomlConfigSettingsSource,
}

# An empty default, or the name of the function that computes it, tells the reader of --help nothing.
_MUTE_DEFAULT: Final = re.compile(r" \(default(: (\(\)|\[\])?| factory: [^)]*)\)")


def _checked_address(address: str) -> str:
    """The address as it was given; raises ValueError unless it is host:port."""
    Endpoint.parse(address)
    return address


PeerAddress = Annotated[str, AfterValidator(_checked_address)]
"""Where another node listens."""
SeedAddress = Annotated[str, AfterValidator(checked_seed)]
"""Where members of the node's group may be found: ``host:port``, or a name to look up."""


def _generated_node_id() -> str:
    return f"node-{uuid.uuid4().hex[:8]}"


class NodeConfig(BaseSettings):
    """What every node needs to know, whatever its role.

    Made directly it holds what it is given; `load_config` reads the sources.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        enable_decoding=False,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_parse_none_str="<none>",
        cli_show_env_vars=True,
    )

    config: Path | None = Field(default=None, description="YAML, JSON or TOML file with any of the other fields.")

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
    advertise_host: str = Field(
        default="",
        description="Name or address by which other nodes reach this one. Default: the address it listens on.",
    )
    membership_profile: MembershipProfile = Field(
        default=MembershipProfile.LAN,
        description="How far apart the nodes of this node's group are, which decides how patiently they watch each other.",
    )
    membership_keys_file: Path | None = Field(
        default=None,
        description="File with the keys (base64 of 16, 24 or 32 bytes, one per line) that encrypt what nodes of a group say "
        "to each other; the first one encrypts, all decrypt. It is read again on SIGHUP.",
    )
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
    otlp_endpoint: Annotated[str, AfterValidator(checked_collector)] | None = Field(
        default=None,
        description="Collector that metrics are sent to by OTLP/gRPC: http://host:port, or https://host:port for TLS. "
        "Default: no metrics are kept or sent.",
    )
    otlp_interval_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="Pause between two exports of metrics; no more than 3 s wait for one."
    )
    ready_file: Path | None = Field(
        default=None, description="File that describes the node in JSON from when it serves until it exits."
    )
    parent_pid: int | None = Field(
        default=None,
        ge=1,
        description="Drain and exit when the parent process is not, or no longer, the one of this id.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: object, info: ValidationInfo) -> object:
        """Lists may be written with commas, choices in capitals as ``--help`` shows them."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if not isinstance(value, str):
            return value
        if get_origin(annotation) in (list, tuple):
            return [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return value.lower()
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_args: PydanticBaseSettingsSource,
        **_kwargs: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """No source that belongs to the process: `load_config` is told which arguments and environment to read."""
        return (init_settings,)


def load_config(
    config_class: type[ConfigT], argv: Sequence[str], prog: str, env_prefix: str, environ: Mapping[str, str]
) -> ConfigT:
    """Read the configuration of a process.

    Parameters
    ----------
    config_class
        Every field needs a description.
    argv
        Arguments without the program's name. ``--help`` prints every field and exits.
    env_prefix
        Prefix of the environment variables, such as ``HYPERSCALE_GATE_``. A variable with this prefix that is no field
        is a fault: it is a misspelt one.

    Raises `ConfigurationError` with every fault of every source.
    """
    environment = EnvSettingsSource(config_class, env_prefix=env_prefix)
    environment.env_vars = {variable.lower(): value for variable, value in environ.items()}
    faults = list(_misspelt(environment))
    flags = _read_flags(config_class, argv, prog, environment, faults)
    path = flags().get("config", environment().get("config"))
    file = _read_file(config_class, path, faults)
    try:
        config = config_class(_build_sources=((flags, environment, file), {}))
    except ValidationError as error:
        origins = {
            **dict.fromkeys(file(), str(path)),
            **{name: f"{env_prefix}{name.upper()}" for name in environment()},
            **{name: f"--{name.replace('_', '-')}" for name in flags()},
        }
        raise ConfigurationError([*faults, *_violations(error, origins)]) from None
    if faults:
        raise ConfigurationError(faults)
    return config


def _violations(error: ValidationError, origins: Mapping[str, str]) -> Iterator[FieldViolation]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        location = [str(part) for part in fault["loc"]] or ["configuration"]
        origin = f" (from {origins[location[0]]})" if location[0] in origins else ""
        yield FieldViolation(".".join(location), fault["msg"] + origin)


def _misspelt(environment: EnvSettingsSource) -> Iterator[FieldViolation]:
    prefix = environment.env_prefix.lower()
    for variable in sorted(name for name in environment.env_vars if name.startswith(prefix)):
        if variable.removeprefix(prefix) not in environment.settings_cls.model_fields:
            yield FieldViolation(variable.upper(), "no field has this environment variable")


def _read_flags(
    config_class: type[BaseSettings],
    argv: Sequence[str],
    prog: str,
    environment: EnvSettingsSource,
    faults: list[FieldViolation],
) -> CliSettingsSource[ArgumentParser]:
    parser = ArgumentParser(
        prog=prog,
        description=config_class.__doc__,
        epilog="Flags win over the environment, which wins over the file. Lists are written with commas: a,b.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    source = CliSettingsSource[ArgumentParser](
        config_class, root_parser=parser, add_argument_method=_add_flag, _env_settings_source=environment
    )
    given = Namespace()
    try:
        _, unknown = parser.parse_known_args(argv, given)
        faults += [FieldViolation(argument.partition("=")[0], "no such flag") for argument in unknown]
    except ArgumentError as error:
        faults.append(FieldViolation(error.argument_name or "arguments", error.message))
    return source(parsed_args=given)


def _add_flag(parser: ArgumentParser, *names: str, **options: Any) -> None:
    options["help"] = _MUTE_DEFAULT.sub("", options["help"])
    if options.get("action") == "append":
        # One text with commas, so that the last flag counts, whatever its type.
        del options["action"]
    parser.add_argument(*names, **options)


def _read_file(config_class: type[BaseSettings], name: str | None, faults: list[FieldViolation]) -> InitSettingsSource:
    nothing = InitSettingsSource(config_class, {})
    if name is None:
        return nothing
    path = Path(name)
    if path.suffix not in _FILE_SOURCES or not path.is_file():
        faults.append(FieldViolation("config", f"{name} is no file that ends in {', '.join(_FILE_SOURCES)}"))
        return nothing
    import yaml  # noqa: PLC0415 - needed with a file only

    try:
        source = _FILE_SOURCES[path.suffix](config_class, path)
    # The last two are how the library meets a document that is no mapping of names.
    except (OSError, ValueError, yaml.YAMLError, TypeError, AttributeError) as error:
        faults.append(FieldViolation("config", f"{name} holds no fields and their values: {error}"))
        return nothing
    if "config" in source():
        faults.append(FieldViolation("config", f"{name} cannot name another file"))
    return source
