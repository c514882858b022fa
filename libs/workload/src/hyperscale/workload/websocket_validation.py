"""Judges the WebSocket session of a step."""

from __future__ import annotations

import re
from typing import Final

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.expectation_validation import judge_expectation
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.http_validation import HttpJudge
from hyperscale.workload.limits import (
    MAX_SESSION_ACTIONS,
    MAX_SUBPROTOCOLS,
    at_most,
)
from hyperscale.workload.urls import FIELD_NAME, is_path

_SCHEME: Final = re.compile(r"ws(s?)://", re.IGNORECASE)
_LIBRARY_HEADERS: Final = re.compile(r"upgrade|sec-websocket-.*", re.IGNORECASE)


class WebSocketJudge:
    """Notes the faults of sessions of one job; `http_judge` judges what they have in common with requests."""

    def __init__(self, faults: FaultCollector, http_judge: HttpJudge) -> None:
        self._faults = faults
        self._http_judge = http_judge

    def judge(self, path: str, session: workflow_pb2.WebSocketSession) -> None:
        """Note every fault of a session that stands at `path`."""
        self._handshake(path, session)
        subprotocols = at_most(self._faults, f"{path}.subprotocols", session.subprotocols, MAX_SUBPROTOCOLS)
        for index, name in enumerate(subprotocols):
            if not FIELD_NAME.fullmatch(name):
                self._faults.add(f"{path}.subprotocols[{index}]", f"{name[:80]!r} is not the name of a subprotocol")
            elif name in subprotocols[:index]:
                self._faults.add(f"{path}.subprotocols[{index}]", f"{name!r} is there already")
        for index, action in enumerate(at_most(self._faults, f"{path}.actions", session.actions, MAX_SESSION_ACTIONS)):
            self._action(f"{path}.actions[{index}]", action)

    def _handshake(self, path: str, session: workflow_pb2.WebSocketSession) -> None:
        url = session.url
        if not is_path(url) and not _SCHEME.match(url):
            self._faults.add(f"{path}.url", "must be a ws:// or wss:// URL, or a path that starts with '/'")
            url = "ws://valid"
        request = workflow_pb2.HttpRequest(
            url=_SCHEME.sub(r"http\1://", url, count=1),
            headers=dict(session.headers),
            timeout=session.timeout if session.HasField("timeout") else None,
        )
        self._http_judge.judge(path, request)
        for name in sorted(session.headers):
            at = f"{path}.headers[{name[:80]!r}]"
            if _LIBRARY_HEADERS.fullmatch(name):
                self._faults.add(at, "is set by the engine")

    def _action(self, path: str, action: workflow_pb2.WebSocketAction) -> None:
        match action.WhichOneof("action"):
            case "expect":
                judge_expectation(self._faults, f"{path}.expect", action.expect)
            case None:
                self._faults.add(path, "needs an action: send_text, send_binary or expect")
