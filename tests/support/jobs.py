"""Job files for tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ONE_STEP: Sequence[Mapping[str, Any]] = ({"name": "home", "http": {"url": "/"}},)
THREE_STEPS: Sequence[Mapping[str, Any]] = (
    {"name": "home", "http": {"url": "/"}},
    {"name": "item", "http": {"url": "/items/1"}},
    {"name": "login", "http": {"url": "/login", "method": "post", "json": {"user": "alice"}}},
)


def workflow(name: str = "browse", steps: Sequence[Mapping[str, Any]] = ONE_STEP, **fields: Any) -> dict[str, Any]:
    """A workflow; it makes load with two users for two seconds unless told otherwise.

    Users that make load for a time pause a little, so that they leave the machine to what is tested.
    """
    if not {"constant_vus", "shared_iterations"} & fields.keys():
        fields["constant_vus"] = {"vus": 2, "duration": "2s"}
    if "constant_vus" in fields:
        fields = {"think_time": {"constant": "5ms"}, **fields}
    return {"name": name, "steps": list(steps), **fields}


def write_job(directory: Path, target: str, *workflows: Mapping[str, Any], **fields: Any) -> Path:
    """A job file below ``directory``."""
    path = directory / "job.json"
    path.write_text(json.dumps({"target": target, "workflows": list(workflows) or [workflow()], **fields}))
    return path
