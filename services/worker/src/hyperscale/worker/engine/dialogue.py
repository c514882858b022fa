"""What one user says and hears beyond the fixed bytes of its requests: fills templates, looks into responses.

Only workflows that have templates, checks, extractions or feeds have dialogues; the users of others have nothing to do
with any of this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from time import time
from typing import Final

from hyperscale.v1 import engine_pb2, job_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.errors import PlanError
from hyperscale.worker.engine.feeds import RunFeeds
from hyperscale.worker.engine.inspection import CompiledExtraction, Findings, compile_inspection, is_inspected
from hyperscale.worker.engine.models.plan import EncodedStep, Plan
from hyperscale.worker.engine.models.reply import Response
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.worker.engine.step_templates import StepTemplate
from hyperscale.worker.engine.templates import FeedRow, TemplateScope
from hyperscale.workload.feeds import FeedError
from hyperscale.workload.json_values import json_text
from hyperscale.workload.once import extracted_by
from hyperscale.workload.patterns import PatternError
from hyperscale.workload.shares import LoadPart
from hyperscale.workload.templates import VARIABLES

_MOST_NUMBERS: Final = 2**62
_SETUP: Final = workflow_pb2.WORKFLOW_ROLE_SETUP


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of looking into a response."""

    goes_on: bool
    """Whether the iteration does: later steps have what they need of this response."""
    rejection: pb.ErrorClass.ValueType | None = None
    """Why the request failed although its response was whole and expected; None when it did not."""


_NOTHING_AMISS: Final = Finding(goes_on=True)


class Dialogues:
    """What the dialogues of one run share; makes them, one per user."""

    def __init__(self, start: engine_pb2.EngineStart) -> None:
        """Raises PlanError naming what cannot be compiled; validation has told of it before."""
        workflow = start.workflow
        part = LoadPart.of(workflow.data_share if workflow.HasField("data_share") else None)
        try:
            self.inspections = {step.name: compile_inspection(step) for step in workflow.steps if is_inspected(step)}
            """By step, of those that somebody looks at."""
            self.feeds = RunFeeds(workflow)
        except (PatternError, FeedError) as error:
            raise PlanError(f"workflow {workflow.name!r}: {error}") from error
        self._variables: FeedRow = dict(start.variables)
        self.given = {value.name: json_text(json.loads(value.json)) for value in start.context}
        """What each iteration begins with: values that the setup has extracted, among others."""
        self._extracted = extracted_by(workflow.steps)
        self._setup_scopes: list[TemplateScope] | None = [] if workflow.role == _SETUP else None
        self._counter = part.items(_MOST_NUMBERS)
        self._user_numbers = part.items(_MOST_NUMBERS)

    def of_next_user(self, plan: Plan, recorder: Recorder) -> Dialogue | None:
        """The dialogue of one more user; None when the workflow needs none."""
        is_needed = self.inspections or self.feeds or any(step.template for step in plan.steps)
        return self.next_dialogue(recorder) if is_needed else None

    def next_dialogue(self, recorder: Recorder) -> Dialogue:
        """The dialogue of one more user."""
        rows: dict[str, FeedRow] = {VARIABLES: self._variables}
        scope = TemplateScope(vu=next(self._user_numbers, 0), next_counter=self._next_counter, rows=rows)
        if self._setup_scopes is not None:
            self._setup_scopes.append(scope)
        return Dialogue(self, scope, recorder)

    def provided(self) -> list[job_pb2.ContextValue]:
        """What a setup has extracted; nothing of other workflows."""
        return [
            job_pb2.ContextValue(name=name, json=json.dumps(value), at_seconds=time())
            for scope in self._setup_scopes or ()
            for name, value in scope.variables.items()
            if name in self._extracted
        ]

    def _next_counter(self) -> int:
        return next(self._counter)


class Dialogue:
    """The variables, rows and numbers of one user."""

    __slots__ = ("_recorder", "_run", "_scope", "filled")

    def __init__(self, run: Dialogues, scope: TemplateScope, recorder: Recorder) -> None:
        self._run = run
        self._scope = scope
        self._recorder = recorder
        self.filled: EncodedStep | None = None
        """The request made last, before cookies and redirects."""

    def begin(self) -> bool:
        """Prepare for an iteration; whether there is one: a feed may have no row left for the user."""
        scope = self._scope
        scope.iteration += 1
        scope.variables.clear()
        scope.variables.update(self._run.given)
        return self._run.feeds.deal(scope.rows)

    def request(self, step: EncodedStep) -> EncodedStep:
        """The step with its templates filled in, for the request that is sent now."""
        # Not usual: what was sent differs each time, and is counted one by one.
        filled = replace(step, payload=step.template.fill(self._scope), is_usual=False) if step.template else step
        self.filled = filled
        return filled

    def filled_step(self, template: StepTemplate) -> workflow_pb2.Step:
        """The step with its templates filled in, for the client that runs it now."""
        return template.fill(self._scope)

    def heard(self, step_name: str, response: Response) -> Finding:
        """Look into the response: count its checks, keep what is extracted."""
        inspection = self._run.inspections.get(step_name)
        if inspection is None:
            return _NOTHING_AMISS
        findings = Findings(response)
        statistics = self._recorder.step_now(step_name)
        for check in inspection.checks:
            statistics.checks.check(check.name).count(held=check.holds(findings))
        goes_on = all(self._extract(extraction, findings) for extraction in inspection.extractions)
        return Finding(goes_on, inspection.rejection(findings) or (None if goes_on else pb.ERROR_CLASS_CHECK))

    def missed(self, step_name: str) -> bool:
        """There was no response: every check fails; whether the iteration goes on."""
        inspection = self._run.inspections.get(step_name)
        if inspection is None:
            return True
        statistics = self._recorder.step_now(step_name)
        for check in inspection.checks:
            statistics.checks.check(check.name).count(held=False)
        return all(self._extract(extraction, None) for extraction in inspection.extractions)

    def _extract(self, extraction: CompiledExtraction, findings: Findings | None) -> bool:
        """Set the variable; whether there is a value for it."""
        found = extraction.find(findings) if findings is not None else None
        value = extraction.default if found is None else found
        if value is None:
            return False
        self._scope.variables[extraction.variable] = value
        return True
