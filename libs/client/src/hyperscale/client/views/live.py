"""The view for terminals."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hyperscale.client.names import verdict_name
from hyperscale.client.views.numbers import clock_text, count_text, share_text, trend_text, value_of
from hyperscale.client.views.progress import JobProgress, Metrics
from hyperscale.client.views.request_figures import figures_of
from hyperscale.client.views.summary import summary_text
from hyperscale.client.views.thresholds import FAILED_MARK, PASSED_MARK, threshold_text
from hyperscale.v1.gate_service_pb2 import JobEvent
from hyperscale.v1.job_pb2 import GlobalJobResult, ThresholdResult

_REFRESHES_PER_SECOND = 8
_TREND_COLUMNS = ("avg", "med", "p(95)", "p(99)", "max")
_TREND_HEADERS = ("duration avg", *_TREND_COLUMNS[1:])
_MAX_THRESHOLDS = 10
_GOOD, _BAD = "green", "red"


class LiveView:
    """Progress, rates, percentiles, errors and a row per datacenter, drawn in place; then the summary."""

    def __init__(self, progress: JobProgress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._note = ""
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=_REFRESHES_PER_SECOND, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def submitted(self, job_id: str) -> None:
        """Show the id."""
        self._progress.job_id = job_id

    def happened(self, event: JobEvent) -> None:
        """Take the event over; the screen follows at its own pace."""
        self._progress.take(event)

    def noted(self, message: str) -> None:
        """Show the note below everything else."""
        self._note = message

    def ended(self, job_id: str, result: GlobalJobResult) -> None:
        """Print the summary, with the marks and the verdict in colour."""
        for line in summary_text(job_id, result).splitlines():
            self._console.print(Text(line, style=_line_style(line, verdict_name(result.verdict))), soft_wrap=True)

    def _render(self) -> Group:
        progress = self._progress
        parts: list[RenderableType] = [_heading(progress), _bar(progress), _table(progress)]
        parts += [
            Text(threshold_text(outcome), style=_GOOD if outcome.passed else _BAD) for outcome in _first(progress)
        ]
        parts += [Text(remark, style="yellow") for remark in progress.remarks.values()]
        if progress.errors:
            parts.append(Text(f"errors  {'  '.join(progress.error_texts)}", style=_BAD))
        if self._note:
            parts.append(Text(self._note, style="yellow"))
        return Group(*parts)


def terminal_view(progress: JobProgress) -> LiveView:
    """The view for the terminal that standard output is."""
    return LiveView(progress, Console(highlight=False))


def _line_style(line: str, verdict: str) -> str:
    text = line.lstrip()
    if text.startswith(PASSED_MARK):
        return _GOOD
    if text.startswith((FAILED_MARK, "reason:")):
        return _BAD
    if text.startswith("verdict:"):
        return f"bold {_GOOD if verdict == 'passed' else _BAD}"
    return ""


def _first(progress: JobProgress) -> Sequence[ThresholdResult]:
    """As many thresholds as have room, those that do not hold first."""
    return sorted(progress.thresholds, key=lambda outcome: outcome.passed)[:_MAX_THRESHOLDS]


def _heading(progress: JobProgress) -> Text:
    text = Text(f"{progress.status}", style="bold")
    text.append(f"  {progress.job_id}  {progress.message}", style="dim")
    return text


def _bar(progress: JobProgress) -> Table:
    elapsed, expected = progress.elapsed_seconds, progress.expected_seconds
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=expected, completed=min(elapsed, expected or 0.0), width=40, pulse=expected is None)
    remaining = f"{clock_text(ceil(max(0.0, expected - elapsed)))} left" if expected is not None else ""
    now = f"{figures_of(progress.second).rate:,.0f} requests/s now" if progress.second else ""
    row.add_row(bar, Text(clock_text(elapsed)), Text(remaining, style="dim"), Text(now))
    return row


def _table(progress: JobProgress) -> Table:
    table = Table(box=None, pad_edge=False)
    for header in ("", "status", "vus", "requests", "per second", "failed", *_TREND_HEADERS):
        table.add_column(header, justify="left" if header in {"", "status"} else "right")
    table.add_row("total", progress.status, *_cells(progress.totals))
    for name in sorted(progress.datacenter_status.keys() | progress.datacenter_metrics.keys()):
        metrics = progress.datacenter_metrics.get(name, {})
        table.add_row(f"  {name}", progress.datacenter_status.get(name, ""), *_cells(metrics))
    return table


def _cells(metrics: Metrics) -> list[str]:
    """What was measured since the start."""
    figures = figures_of(metrics)
    return [
        count_text(value_of(metrics, "vus", "value")),
        count_text(figures.count),
        f"{figures.rate:,.0f}",
        share_text(figures.failed_share),
        *(trend_text(figures.durations_ms, column) for column in _TREND_COLUMNS),
    ]
