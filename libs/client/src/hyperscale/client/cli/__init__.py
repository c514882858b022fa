"""The command line: finds the command, runs it, turns what went wrong into words and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from hyperscale.client.cli.failures import explain
from hyperscale.client.cli.options import GateChoice, root_options
from hyperscale.client.exit_codes import ExitCode

_COMMANDS: Final = {
    "run": "run",
    "new": "new",
    "cluster": "clusters",
    "submit": "submitting",
    "watch": "submitting",
    "cancel": "jobs",
    "jobs": "jobs",
    "result": "jobs",
    "query": "jobs",
    "datacenters": "nodes",
    "nodes": "nodes",
    "ping": "pinging",
    "validate": "validating",
    "convert": "converting",
    "target": "local",
    "version": "local",
}
"""Every command, in the order of the help, with the module that has it."""


class LazyCommands(click.Group):
    """Imports a command when it is called, so that each pays for its own imports only."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), f"{cmd_name}_command")
        return command


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@root_options
@click.pass_context
def hyperscale(ctx: click.Context, gates: tuple[str, ...], state_directory: Path | None) -> None:
    """Distributed performance tests: describe the load, run it in several datacenters, read one verdict."""
    ctx.obj = GateChoice(gates, state_directory)


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code of the process."""
    try:
        outcome = hyperscale.main(list(arguments), prog_name="hyperscale", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        click.echo(explanation.text, err=True)
        return explanation.exit_code
    return outcome if isinstance(outcome, int) else ExitCode.PASSED


def main() -> None:
    """Entry point of the console script."""
    code = run_command_line(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more on its way out and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
