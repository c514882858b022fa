"""The workload of a job: its language, its load, and the statistics that come back, pure and exact.

Coded workflows import from here; this needs neither gRPC nor numpy.
"""

from hyperscale.workload.language.errors import (
    CheckError,
    ContextError,
    MetricError,
    RequestError,
    VariableError,
    WorkflowDefinitionError,
)
from hyperscale.workload.language.feeds import Feed, FeedMode, FeedPace
from hyperscale.workload.language.grpc import GrpcClient, GrpcResponse, GrpcStream
from hyperscale.workload.language.http import HttpClient, HttpResponse
from hyperscale.workload.language.metrics import Metric
from hyperscale.workload.language.profiles import (
    ConstantArrivalRate,
    ConstantVus,
    PerVuIterations,
    RampingArrivalRate,
    RampingVus,
    RampStage,
    SharedIterations,
)
from hyperscale.workload.language.sockets import TcpClient, TcpConnection, UdpClient, UdpSocket
from hyperscale.workload.language.steps import step
from hyperscale.workload.language.websocket import WebSocket, WebSocketClient
from hyperscale.workload.language.workflow import Job, OnceScope, Workflow, depends

__all__ = [
    "CheckError",
    "ConstantArrivalRate",
    "ConstantVus",
    "ContextError",
    "Feed",
    "FeedMode",
    "FeedPace",
    "GrpcClient",
    "GrpcResponse",
    "GrpcStream",
    "HttpClient",
    "HttpResponse",
    "Job",
    "Metric",
    "MetricError",
    "OnceScope",
    "PerVuIterations",
    "RampStage",
    "RampingArrivalRate",
    "RampingVus",
    "RequestError",
    "SharedIterations",
    "TcpClient",
    "TcpConnection",
    "UdpClient",
    "UdpSocket",
    "VariableError",
    "WebSocket",
    "WebSocketClient",
    "Workflow",
    "WorkflowDefinitionError",
    "depends",
    "step",
]
