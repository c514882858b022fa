"""``hyperscale new``: a job in Python to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from hyperscale.client.cli.failures import CommandFailedError
from hyperscale.client.exit_codes import ExitCode

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_TEMPLATE: Final = '''"""A load test. Run it with

    hyperscale run {file}

Without `--target URL` it runs against a small server that `hyperscale run` starts.
"""

from hyperscale.workload import Job, Workflow, step

job = Job(
    name="{name}",
    target="bundled://",
    thresholds={{"http_req_failed": "rate < 1%", "http_req_duration": "p(95) < 500ms"}},
)


class {class_name}(Workflow):
    """What each virtual user does, again and again."""

    vus = 5
    duration = "5s"

    @step()
    async def home(self) -> None:
        response = await self.http.get("/")
        self.check("status is 200", response.status == 200)

    @step("home")
    async def items(self) -> None:
        response = await self.http.get("/items")
        self.check("has items", response.json()["items"])
'''


@click.command("new")
@click.argument("name")
def new_command(name: str) -> ExitCode:
    """Write NAME.py, a load test in Python that runs as it is; an existing file is left alone."""
    path = Path(name if name.endswith(".py") else f"{name}.py")
    if not _NAME.fullmatch(path.stem):
        raise CommandFailedError(f"{path.stem!r} cannot be a Python module: letters, digits and '_', a letter first")
    class_name = "".join(part.capitalize() for part in path.stem.split("_")) or "Load"
    content = _TEMPLATE.format(file=path, name=path.stem, class_name=class_name)
    try:
        with path.open("x") as file:
            file.write(content)
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be written: {error.strerror or error}") from error
    click.echo(f"{path} is written; run it with `hyperscale run {path}`")
    return ExitCode.PASSED
