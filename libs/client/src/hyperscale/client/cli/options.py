"""Options that several commands share, each group of them as one value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from hyperscale.client.cli.failures import NoGateKnownError
from hyperscale.client.cluster.state import StateDirectory, default_state_directory
from hyperscale.workload.overrides import JobOverrides

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

_MAX_PORT: Final = 65535
_ADDRESS: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class GateChoice:
    """Where the gates are, as far as the user said."""

    gates: tuple[str, ...] = ()
    state_directory: Path | None = None

    @property
    def files(self) -> StateDirectory:
        """The state directory, whether anything is in it or not."""
        return StateDirectory(self.state_directory.absolute() if self.state_directory else default_state_directory())

    def addresses(self) -> tuple[str, ...]:
        """The gates that were named, else those of the local cluster.

        Raises
        ------
        NoGateKnownError
            There are neither.
        """
        if self.gates:
            return self.gates
        known = self.files.read().gates
        if not known:
            raise NoGateKnownError(
                "no gate is known: name one with --gate or HYPERSCALE_GATE, or start a local cluster with"
                f" `hyperscale cluster up` (none runs in {self.files.path})"
            )
        return known


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """How many nodes were asked for; managers and workers per datacenter. None: whatever fits job and machine."""

    gates: int = 1
    datacenters: int | None = None
    managers: int = 1
    workers: int = 1
    cores: int | None = None


@dataclass(frozen=True, slots=True)
class ViewChoice:
    """How the user wants to see a job, and where its result goes besides."""

    as_json: bool = False
    quiet: bool = False
    outs: tuple[str, ...] = ()


def _split_addresses(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    addresses = tuple(part.strip() for value in values for part in value.split(",") if part.strip())
    for address in addresses:
        read = _ADDRESS.fullmatch(address)
        if read is None or not 0 < int(read["port"]) <= _MAX_PORT:
            advice = ", without a scheme" if "://" in address else ""
            fault = f"{address!r} is not HOST:PORT, such as 127.0.0.1:41001{advice}"
            raise click.BadParameter(fault, ctx, parameter, param_hint=_source(ctx, parameter))
    return addresses


def _source(ctx: click.Context, parameter: click.Parameter) -> str | None:
    """Where a value comes from when it is not the option itself."""
    is_from_environment = ctx.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT
    return f"the environment variable {parameter.envvar}" if is_from_environment else None


def addresses_option(name: str, *, help_text: str, **settings: Any) -> Callable[[AnyFunction], AnyFunction]:
    """An option that takes ``HOST:PORT``, several times or several with commas."""
    return click.option(
        f"--{name}",
        f"{name}s",
        multiple=True,
        callback=_split_addresses,
        metavar="ADDR[,ADDR]",
        help=help_text,
        **settings,
    )


_GATE_HELP: Final = "Gates to ask, HOST:PORT.  [default: HYPERSCALE_GATE, else those of the running local cluster]"
_state_directory_option = click.option(
    "--state-dir",
    "state_directory",
    type=click.Path(path_type=Path),
    help="Where the local cluster keeps its files.  [default: in the user's runtime directory]",
)


def root_options(command: AnyFunction) -> AnyFunction:
    """Options before the name of the command; they and the environment say where the gates are."""
    gates = addresses_option("gate", help_text=_GATE_HELP, envvar="HYPERSCALE_GATE")
    state_directory = click.option(
        "--state-dir", "state_directory", type=click.Path(path_type=Path), envvar="HYPERSCALE_STATE_DIR", hidden=True
    )
    return gates(state_directory(command))


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the gates are, given to the command as ``where``; what stands after the command's name wins."""

    @addresses_option("gate", help_text=_GATE_HELP)
    @_state_directory_option
    @wraps(command)
    def with_choice(gates: tuple[str, ...], state_directory: Path | None, **rest: Any) -> Any:
        return command(where=_choice(gates, state_directory), **rest)

    return with_choice


def state_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which local cluster is meant, given to the command as ``where``."""

    @_state_directory_option
    @wraps(command)
    def with_choice(state_directory: Path | None, **rest: Any) -> Any:
        return command(where=_choice((), state_directory), **rest)

    return with_choice


def _choice(gates: tuple[str, ...], state_directory: Path | None) -> GateChoice:
    root = click.get_current_context().find_root().obj
    general = root if isinstance(root, GateChoice) else GateChoice()
    return GateChoice(gates or general.gates, state_directory or general.state_directory)


def count_options(datacenters: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """How many nodes a local cluster has, given to the command as ``counts``.

    Parameters
    ----------
    datacenters
        How many datacenters there are when nobody says it, for the help.
    """
    return lambda command: _with_counts(command, f"Datacenters.  [default: {datacenters}]")


def _with_counts(command: Callable[..., Any], datacenters_help: str) -> Callable[..., Any]:
    @click.option("--gates", type=click.IntRange(1, 9), default=1, show_default=True, help="Gates.")
    @click.option("--datacenters", type=click.IntRange(1, 16), help=datacenters_help)
    @click.option("--managers", type=click.IntRange(1, 9), default=1, show_default=True, help="Per datacenter.")
    @click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Per datacenter.")
    @click.option("--cores", type=click.IntRange(1, 256), help="Per worker.  [default: the machine's, divided]")
    @wraps(command)
    def with_counts(
        *, gates: int, datacenters: int | None, managers: int, workers: int, cores: int | None, **rest: Any
    ) -> Any:
        return command(counts=NodeCounts(gates, datacenters, managers, workers, cores), **rest)

    return with_counts


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a job is shown, given to the command as ``choice``."""

    @click.option("--json", "as_json", is_flag=True, help="A JSON document per event; the last line is the result.")
    @click.option("--quiet", is_flag=True, help="No progress, only the end.")
    @click.option("--out", "outs", multiple=True, metavar="NAME=DEST", help="Also report to json=PATH, csv=PATH, …")
    @wraps(command)
    def with_view(*, as_json: bool, quiet: bool, outs: tuple[str, ...], **rest: Any) -> Any:
        return command(choice=ViewChoice(as_json, quiet, outs), **rest)

    return with_view


file_argument = click.argument("file", type=click.Path(path_type=Path))


def _split_variables(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for value in values:
        name, is_given, text = value.partition("=")
        if not (name and is_given):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        variables[name] = text
    return variables


def override_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What wins over the job's file, given to the command as ``overrides``."""

    @click.option("--target", metavar="URL", help="Base URL in place of the job's.")
    @click.option(
        "--var",
        "-e",
        "variables",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_split_variables,
        help="A variable of the job, for {{vars.NAME}}; as often as needed.",
    )
    @wraps(command)
    def with_overrides(target: str | None, variables: dict[str, str], **rest: Any) -> Any:
        return command(overrides=JobOverrides(target, variables), **rest)

    return with_overrides


json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


def echo_json(document: Any) -> None:
    """Write one JSON document on one line."""
    click.echo(json.dumps(document, separators=(",", ":"), ensure_ascii=False))


def note(message: str) -> None:
    """Tell the user something that is not the output."""
    click.echo(message, err=True)
