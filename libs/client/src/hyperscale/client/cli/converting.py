"""``hyperscale convert``: job files from what other tools have recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from hyperscale.client.cli.failures import BadConfigurationError, CommandFailedError
from hyperscale.client.cli.options import file_argument, note
from hyperscale.client.conversion.curl import read_curl
from hyperscale.client.conversion.errors import ConversionError
from hyperscale.client.conversion.har import load_har
from hyperscale.client.conversion.jobs import job_text
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.models.captures import Capture, ConstantLoad
from hyperscale.workload.faults import Fault, FaultCollector
from hyperscale.workload.limits import MAX_VUS

_MAX_COMMAND_CHARACTERS: Final = 4 * 1024 * 1024


@click.group("convert")
def convert_command() -> None:
    """Write a job file for requests that another tool has recorded; what it cannot say is told."""


def _job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Load and place of the job file, given to the command as ``load`` and ``output``."""

    @click.option("--vus", type=click.IntRange(1, MAX_VUS), default=1, show_default=True, help="Users.")
    @click.option("--duration", default="30s", show_default=True, help="How long they go on.")
    @click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.  [default: standard output]")
    @wraps(command)
    def with_load(*, vus: int, duration: str, output: Path | None, **rest: Any) -> Any:
        return command(load=ConstantLoad(vus, duration), output=output, **rest)

    return with_load


@convert_command.command("curl")
@click.argument("command", required=False)
@_job_options
def curl_command(command: str | None, load: ConstantLoad, output: Path | None) -> ExitCode:
    """Convert a curl COMMAND, in quotes as one word; without it, standard input is read."""
    return _convert("curl command", lambda notes: read_curl(_command_text(command), notes), load, output)


@convert_command.command("har")
@_job_options
@file_argument
def har_command(file: Path, load: ConstantLoad, output: Path | None) -> ExitCode:
    """Convert the HAR FILE that a browser or a proxy has recorded."""
    return _convert(str(file), lambda notes: load_har(file, notes), load, output)


def _command_text(command: str | None) -> str:
    try:
        text = command if command is not None else sys.stdin.read(_MAX_COMMAND_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise ConversionError([Fault("", "standard input is not text in this terminal's encoding")]) from error
    if len(text) > _MAX_COMMAND_CHARACTERS:
        raise ConversionError([Fault("", f"has more than {_MAX_COMMAND_CHARACTERS:,} characters")])
    return text


def _convert(
    subject: str, read: Callable[[FaultCollector], Capture], load: ConstantLoad, output: Path | None
) -> ExitCode:
    notes = FaultCollector()
    try:
        text = job_text(read(notes), load, notes)
    except ConversionError as error:
        raise BadConfigurationError(subject, error.faults) from error
    for lost in notes.faults():
        note(f"{subject}: {lost}")
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)
    return ExitCode.PASSED


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailedError(f"{output} cannot be written: {error.strerror or error}") from error
