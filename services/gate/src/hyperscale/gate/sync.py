"""What managers report, taken over frame by frame.

Laws: a frame is acknowledged once it is taken over; frames that are repeated, out of order, of another ownership or of ended
jobs change nothing; a datacenter that still runs an ended job, or one that goes on without it, is told to stop it.
"""

from __future__ import annotations

from hyperscale.gate.cancellation import CancelCourier
from hyperscale.gate.gate_directory import GateDirectory
from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.models.orders import CancelNotice
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.stages import job_id_of
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.runtime.coordination import CoordinationUnavailableError
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import job_pb2, progress_pb2
from hyperscale.workload.limits import MAX_EXTENSION_SECONDS
from hyperscale.workload.timestamps import seconds_of

_MAX_STRAYS = 1000


class StrayReports:
    """Finds out why a datacenter reports a job that does not run here, and stops it there if it has ended."""

    def __init__(self, store: JobStore, courier: CancelCourier, supervisor: Supervisor) -> None:
        self._store = store
        self._courier = courier
        self._supervisor = supervisor
        self._considered: set[tuple[str, str]] = set()

    @property
    def considered_count(self) -> int:
        """Reports being looked into now."""
        return len(self._considered)

    def consider(self, progress: progress_pb2.JobProgress) -> None:
        """Look into a report in the background; one look per job and datacenter at a time."""
        key = (progress.job_id, progress.datacenter)
        if progress.status in TERMINAL or key in self._considered or len(self._considered) >= _MAX_STRAYS:
            return
        self._considered.add(key)
        task = self._supervisor.start(self._look_into(progress), name="stray-report")
        task.add_done_callback(lambda _: self._considered.discard(key))

    def stop(self, progress: progress_pb2.JobProgress, run: JobRun) -> None:
        """Have a datacenter stop its part of a job that goes on without it; it may have been cut off for long."""
        if progress.status not in TERMINAL:
            reason = "the job goes on without this datacenter"
            _ = self._courier.tell(CancelNotice(progress.job_id, progress.datacenter, run.lease.token, reason))

    async def _look_into(self, progress: progress_pb2.JobProgress) -> None:
        try:
            record = await self._store.get(job_id_of(progress.job_id))
        except CoordinationUnavailableError as error:
            self._supervisor.report(error, "stray-report", job_id=progress.job_id)
            return
        if record is not None and record.status not in TERMINAL:
            return
        token = progress.fence_token if record is None else max(record.fence_token, progress.fence_token)
        notice = CancelNotice(progress.job_id, progress.datacenter, token, "the job has ended at its gate")
        await self._courier.tell(notice)


class ReportIngestion:
    """Takes frames over into the registry and the jobs."""

    def __init__(
        self,
        state: GateState,
        registry: ManagerRegistry,
        strays: StrayReports,
        gates: GateDirectory,
        supervisor: Supervisor,
    ) -> None:
        self._state = state
        self._registry = registry
        self._strays = strays
        self._gates = gates
        self._supervisor = supervisor

    def open(self) -> ReportStream:
        """Begin with a new stream."""
        return ReportStream(self._registry, self, self._gates)

    def take(self, report: progress_pb2.ManagerReport) -> None:
        """Take over one frame of a registered manager; faulty statistics are reported and dropped."""
        try:
            match report.WhichOneof("report"):
                case "progress":
                    self._take_progress(report.progress)
                case "window":
                    self._take_window(report.window)
                case "final_result":
                    self._take_final_result(report)
                case _:
                    return
        except ValueError as error:
            self._supervisor.report(error, "report", report_sequence=report.report_sequence)

    def _take_progress(self, progress: progress_pb2.JobProgress) -> None:
        job_id = job_id_of(progress.job_id)
        run = self._state.find(job_id)
        if run is not None:
            self._check_extension(progress)
            run.take_progress(progress)
            if run.is_over_in(progress.job_id, progress.datacenter):
                self._strays.stop(progress, run)
        elif not self._state.is_in_charge(job_id):
            self._strays.consider(progress)

    def _take_window(self, push: progress_pb2.WindowedStatsPush) -> None:
        run = self._state.find(job_id_of(push.job_id))
        if run is not None:
            run.take_window(push)

    def _take_final_result(self, report: progress_pb2.ManagerReport) -> None:
        run = self._state.find(job_id_of(report.final_result.job_id))
        if run is not None:
            self._check_extension(report.final_result)
            run.take_final_result(report.final_result)

    def _check_extension(self, report: progress_pb2.JobProgress | job_pb2.JobFinalResult) -> None:
        """Take out what no manager may have granted: it would put the job's timeout off for as long as it says."""
        seconds = seconds_of(report.extended_by)
        if seconds > MAX_EXTENSION_SECONDS:
            report.ClearField("extended_by")
            error = ValueError(f"datacenter {report.datacenter} tells of {seconds:g} s of more time")
            self._supervisor.report(error, "extension", job_id=report.job_id)


class ReportStream:
    """One stream of one manager, which names itself in its first heartbeat."""

    def __init__(self, registry: ManagerRegistry, ingestion: ReportIngestion, gates: GateDirectory) -> None:
        self._registry = registry
        self._ingestion = ingestion
        self._gates = gates
        self._told = progress_pb2.KnownGates()
        self._node_id: str | None = None
        self._session: int | None = None

    def take(self, report: progress_pb2.ManagerReport) -> progress_pb2.ReportAck | None:
        """Take over one frame; None when it needs no acknowledgement.

        Raises INVALID_ARGUMENT when the first frame is no heartbeat, and NOT_REGISTERED when the manager has not
        registered with this process, or again since.
        """
        if report.WhichOneof("report") == "heartbeat":
            self._hear(report.heartbeat)
        else:
            self._check_registered()
            self._ingestion.take(report)
        return self._acknowledgement(report) if report.report_sequence else None

    def close(self) -> None:
        """The stream has ended."""
        if self._node_id is not None and self._session is not None:
            self._registry.leave(self._node_id, self._session)

    def _acknowledgement(self, report: progress_pb2.ManagerReport) -> progress_pb2.ReportAck:
        ack = progress_pb2.ReportAck(report_sequence=report.report_sequence)
        if report.WhichOneof("report") == "heartbeat" and (gates := self._gates.known_gates()) != self._told:
            self._told = gates
            ack.known_gates.CopyFrom(gates)
        return ack

    def _hear(self, heartbeat: progress_pb2.ManagerHeartbeat) -> None:
        if self._session is None:
            self._node_id = heartbeat.node.node_id
            self._session = self._registry.session_of(self._node_id)
        self._check_registered()
        self._registry.hear(heartbeat)

    def _check_registered(self) -> None:
        if self._node_id is None:
            fault = FieldViolation("heartbeat", "must be the first frame of a stream")
            raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=[fault])
        if self._session is None or self._registry.session_of(self._node_id) != self._session:
            raise HyperscaleError(ErrorReason.NOT_REGISTERED, metadata={"caller": self._node_id})
