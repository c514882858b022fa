"""Commands that need neither a cluster nor a job."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from hyperscale.client.exit_codes import ExitCode
from hyperscale.v1.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR


@click.command("target", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def target_command(arguments: tuple[str, ...]) -> None:
    """Run the bundled target server; its own --help says what it can do."""
    # In place of this process, so that signals reach the server itself.
    os.execv(sys.executable, [sys.executable, "-m", "hyperscale.client.target", *arguments])


@click.command("version")
def version_command() -> ExitCode:
    """Show the release and the protocol version."""
    try:
        release = version("hyperscale-client")
    except PackageNotFoundError:
        release = "from a source tree"
    click.echo(f"hyperscale {release}, protocol {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}")
    return ExitCode.PASSED
