"""Views for pipes and files: plain lines, JSON lines, or the summary alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from hyperscale.client.results import event_json, result_json
from hyperscale.client.views.numbers import clock_text, count_text, share_text, trend_text, value_of
from hyperscale.client.views.progress import JobProgress
from hyperscale.client.views.request_figures import figures_of
from hyperscale.client.views.summary import summary_text
from hyperscale.client.views.thresholds import FAILED_MARK
from hyperscale.v1.gate_service_pb2 import JobEvent
from hyperscale.v1.job_pb2 import GlobalJobResult

WriteLine = Callable[[str], None]
Ending = Callable[[str, GlobalJobResult], str]
"""A job's id and its result as text."""


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Where lines go.

    Attributes
    ----------
    notes
        What is not part of the output.
    """

    lines: WriteLine
    notes: WriteLine


class Commentary(Protocol):
    """What is written of a job while it runs."""

    def submitted(self, job_id: str) -> str:
        """The line that says the id."""
        ...

    def lines_of(self, event: JobEvent) -> Iterator[str]:
        """The lines that an event is worth."""
        ...


class TextView:
    """Writes lines: a commentary, if there is one, and the end.

    Parameters
    ----------
    commentary
        None: silence until the end.
    """

    def __init__(self, output: TextOutput, ending: Ending, commentary: Commentary | None) -> None:
        self._output = output
        self._ending = ending
        self._commentary = commentary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def submitted(self, job_id: str) -> None:
        """Write the id, so that the job can be watched from elsewhere."""
        if self._commentary is not None:
            self._output.lines(self._commentary.submitted(job_id))

    def happened(self, event: JobEvent) -> None:
        """Write what the event is worth."""
        if self._commentary is not None:
            for line in self._commentary.lines_of(event):
                self._output.lines(line)

    def noted(self, message: str) -> None:
        """Write the note beside the output."""
        self._output.notes(message)

    def ended(self, job_id: str, result: GlobalJobResult) -> None:
        """Write the end."""
        self._output.lines(self._ending(job_id, result))


def plain_view(progress: JobProgress, output: TextOutput) -> TextView:
    """One line per second and per change of status, then the summary."""
    return TextView(output, _summary_below, PlainCommentary(progress))


def quiet_view(output: TextOutput) -> TextView:
    """The summary and nothing else."""
    return TextView(output, summary_text, None)


def json_view(output: TextOutput) -> TextView:
    """One JSON document per event; the last line is the result."""
    return TextView(output, lambda job_id, result: _json(result_json(job_id, result)), JsonCommentary())


class PlainCommentary:
    """One line per second and per change of status."""

    def __init__(self, progress: JobProgress) -> None:
        self._progress = progress
        self._last_second = 0
        self._said: dict[str, str] = {}
        """The latest line on each datacenter, and on the job as a whole."""

    def submitted(self, job_id: str) -> str:
        """The id."""
        return f"job {job_id}"

    def lines_of(self, event: JobEvent) -> Iterator[str]:
        """A line when a status changes, and when a second is over; the result is the summary's."""
        self._progress.take(event)
        match event.WhichOneof("event"):
            case "window":
                yield from self._second()
            case "snapshot":
                yield progress_line(self._progress)
                for datacenter, remark in self._progress.remarks.items():
                    yield from self._news(datacenter, f"status: {remark}")
            case "status":
                yield from self._news(event.status.datacenter, _status_line(event))

    def _news(self, datacenter: str, line: str) -> Iterator[str]:
        """The line, unless it was the latest on the same already."""
        if self._said.get(datacenter) != line:
            self._said[datacenter] = line
            yield line

    def _second(self) -> Iterator[str]:
        """Each second since the first load once: those of the clock begin and end within them."""
        second = int(self._progress.measured_seconds + 0.5)
        if second > self._last_second:
            self._last_second = second
            yield progress_line(self._progress)


class JsonCommentary:
    """One JSON document per event."""

    def submitted(self, job_id: str) -> str:
        """The id."""
        return _json({"event": "submitted", "job_id": job_id})

    def lines_of(self, event: JobEvent) -> Iterator[str]:
        """The event; the result has a line of its own shape."""
        if event.WhichOneof("event") != "result":
            yield _json(event_json(event))


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _summary_below(job_id: str, result: GlobalJobResult) -> str:
    return f"\n{summary_text(job_id, result)}"


def progress_line(progress: JobProgress) -> str:
    """The state of a run in one line."""
    second, totals = progress.second, progress.totals
    now, since_start = figures_of(second), figures_of(totals)
    clock = clock_text(round(progress.measured_seconds))
    expected = f"/{clock_text(progress.expected_seconds)}" if progress.expected_seconds is not None else ""
    parts = [
        f"{progress.status} {clock}{expected}",
        f"vus {count_text(value_of(second or totals, 'vus', 'value'))}",
        f"requests {count_text(since_start.count)}",
        f"{now.rate:,.0f}/s",
        f"p(95) {trend_text(now.durations_ms, 'p(95)')}",
        f"failed {share_text(since_start.failed_share)}",
        *_missed(progress),
        *progress.error_texts,
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
