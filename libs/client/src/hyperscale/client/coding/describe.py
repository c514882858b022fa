"""Says what the job in a bundle is, as JSON: `python -m hyperscale.client.coding.describe < BUNDLE`.

It imports the user's code, and so is a process of its own: whatever the code does, the client goes on.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from hyperscale.v1.job_pb2 import SourceBundle
from hyperscale.workload.language.describing import describe_job
from hyperscale.workload.language.errors import WorkflowDefinitionError
from hyperscale.workload.language.loading import LoadedBundle, UserCodeError


def main() -> None:
    """Read a bundle, write the document of its job, or why there is none."""
    bundle = SourceBundle.FromString(sys.stdin.buffer.read())
    # What the code prints is for people, and must not get into the answer.
    answer_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with os.fdopen(answer_fd, "w") as answer:
        json.dump(_describe(bundle), answer)


def _describe(bundle: SourceBundle) -> dict[str, Any]:
    try:
        loaded = LoadedBundle(bundle)
    except UserCodeError as error:
        return {"error": str(error)}
    try:
        return {"job": describe_job(loaded.module)}
    except WorkflowDefinitionError as error:
        return {"error": f"{bundle.module}.py: {error}"}
    finally:
        loaded.unload()


if __name__ == "__main__":
    main()
