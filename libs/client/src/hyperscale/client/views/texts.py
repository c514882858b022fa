"""Views for pipes and files: plain lines, JSON lines, or the summary alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from hyperscale.client.results import event_json, result_json
from hyperscale.client.views.numbers import clock_text, count_text, share_text, trend_text, value_of
from hyperscale.client.views.progress import JobProgress
from hyperscale.client.views.summary import summary_text
from hyperscale.client.views.thresholds import FAILED_MARK
from hyperscale.v1.gate_service_pb2 import JobEvent
from hyperscale.v1.job_pb2 import GlobalJobResult

WriteLine = Callable[[str], None]


class PlainView:
    """One line per second and per change of status, then the summary."""

    def __init__(self, progress: JobProgress, out: WriteLine, notes: WriteLine) -> None:
        self._progress = progress
        self._out = out
        self._notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def submitted(self, job_id: str) -> None:
        """Say the id, so that it can be watched from elsewhere."""
        self._out(f"job {job_id}")

    def happened(self, event: JobEvent) -> None:
        """Write a line when it is a window or a change of status."""
        self._progress.take(event)
        match event.WhichOneof("event"):
            case "window" | "snapshot":
                self._out(progress_line(self._progress))
            case "status":
                self._out(_status_line(event))
            case _:
                # The result is the summary's; nothing else is known.
                pass

    def noted(self, message: str) -> None:
        """Write the note beside the output."""
        self._notes(message)

    def ended(self, job_id: str, result: GlobalJobResult) -> None:
        """Write the summary."""
        self._out("")
        self._out(summary_text(job_id, result))


class QuietView:
    """The summary and nothing else."""

    def __init__(self, out: WriteLine, notes: WriteLine) -> None:
        self._out = out
        self._notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def submitted(self, job_id: str) -> None:
        """Stay silent."""

    def happened(self, event: JobEvent) -> None:
        """Stay silent."""

    def noted(self, message: str) -> None:
        """Write the note beside the output."""
        self._notes(message)

    def ended(self, job_id: str, result: GlobalJobResult) -> None:
        """Write the summary."""
        self._out(summary_text(job_id, result))


class JsonView:
    """One JSON document per event; the last line is the result."""

    def __init__(self, out: WriteLine, notes: WriteLine) -> None:
        self._out = out
        self._notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def submitted(self, job_id: str) -> None:
        """Write the id."""
        self._write({"event": "submitted", "job_id": job_id})

    def happened(self, event: JobEvent) -> None:
        """Write the event; the result has a line of its own shape."""
        if event.WhichOneof("event") != "result":
            self._write(event_json(event))

    def noted(self, message: str) -> None:
        """Write the note beside the output."""
        self._notes(message)

    def ended(self, job_id: str, result: GlobalJobResult) -> None:
        """Write the result."""
        self._write(result_json(job_id, result))

    def _write(self, document: dict[str, Any]) -> None:
        self._out(json.dumps(document, separators=(",", ":"), ensure_ascii=False))


def progress_line(progress: JobProgress) -> str:
    """The state of a run in one line."""
    second, totals = progress.second, progress.totals
    clock = clock_text(progress.elapsed_seconds)
    expected = f"/{clock_text(progress.expected_seconds)}" if progress.expected_seconds is not None else ""
    parts = [
        f"{progress.status} {clock}{expected}",
        f"vus {count_text(value_of(totals, 'vus', 'value'))}",
        f"http_reqs {count_text(value_of(totals, 'http_reqs', 'count'))}",
        f"{value_of(second, 'http_reqs', 'rate'):,.0f}/s",
        f"p(95) {trend_text(second, 'http_req_duration', 'p(95)')}",
        f"failed {share_text(value_of(totals, 'http_req_failed', 'rate'))}",
        *_missed(progress),
        *(f"{name} {count_text(count)}" for name, count in progress.errors.items()),
    ]
    return "  ".join(parts)


def _missed(progress: JobProgress) -> list[str]:
    """The first threshold that does not hold now, and how many more; nothing when all hold."""
    missed = [outcome.threshold for outcome in progress.thresholds if not outcome.passed]
    if not missed:
        return []
    more = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
    return [f"{FAILED_MARK} {missed[0].metric}: {missed[0].expression}{more}"]


def _status_line(event: JobEvent) -> str:
    fields = event_json(event)
    place = f"{fields['datacenter']} {fields['datacenter_status']}" if "datacenter" in fields else fields["status"]
    return f"status: {place}{': ' if fields['message'] else ''}{fields['message']}"
