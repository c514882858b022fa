"""``hyperscale validate``."""

from __future__ import annotations

from pathlib import Path

import click

from hyperscale.client.cli.failures import BadConfigurationError
from hyperscale.client.cli.jobfiles import load_job
from hyperscale.client.cli.options import echo_json, file_argument, json_option, override_options
from hyperscale.client.exit_codes import ExitCode
from hyperscale.workload.jobfile import JobFileError
from hyperscale.workload.overrides import JobOverrides


@click.command("validate")
@file_argument
@override_options
@json_option
def validate_command(file: Path, overrides: JobOverrides, as_json: bool) -> ExitCode:
    """Check the job FILE without running it; every fault is shown with its path."""
    try:
        submission = load_job(file, overrides)
    except JobFileError as error:
        if not as_json:
            raise BadConfigurationError(str(file), error.faults) from error
        faults = [{"path": fault.path, "message": fault.message} for fault in error.faults]
        echo_json({"valid": False, "faults": faults})
        return ExitCode.BAD_CONFIGURATION
    if as_json:
        echo_json({"valid": True, "faults": []})
    else:
        count = len(submission.workflows)
        click.echo(f"{file}: valid, {count} workflow{'s' if count != 1 else ''}")
    return ExitCode.PASSED
