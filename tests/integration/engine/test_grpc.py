"""gRPC steps against a server that counts what it gets."""

import asyncio
import subprocess
import sys
from typing import Any

import grpc
import pytest
import trustme
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import WorkflowStatistics
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.integration.engine.web_servers import forward_proxy
from tests.support.grpc_shop import FILES, SERVICE, GrpcShop, grpc_shop
from tests.support.listening import listening
from tests.support.waiting import timeout_seconds


def workflow(method: str, request: object = None, iterations: int = 1, vus: int = 1, **fields: Any) -> dict[str, Any]:
    step = {name: fields.pop(name) for name in ("checks", "extract") if name in fields}
    call = {"method": f"{SERVICE}/{method}", **fields} | ({} if request is None else {"request": request})
    return {
        "name": "w",
        "steps": [{"name": "call", "grpc": call, **step}],
        "shared_iterations": {"vus": vus, "iterations": iterations},
    }


async def run(
    content: dict[str, Any],
    port: int,
    options: workflow_pb2.HttpOptions | None = None,
    scheme: str = "http",
    descriptor_set: bytes = b"",
) -> Outcome:
    async with running_engine() as engine:
        load = ParseDict(content, workflow_pb2.Workflow())
        load.descriptor_set = descriptor_set
        outcome = await engine.run(load, f"{scheme}://127.0.0.1:{port}", options=options)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome


def metrics(outcome: Outcome) -> dict[str, dict[str, float]]:
    return metrics_of([WorkflowStatistics.from_proto(outcome.last.totals)], 1.0)


def failures(outcome: Outcome) -> dict[str, int]:
    return {
        pb.ErrorClass.Name(entry.error_class).removeprefix("ERROR_CLASS_"): entry.count
        for step in outcome.last.totals.steps
        for calls in step.protocols
        for entry in calls.failures
    }


def complaints(outcome: Outcome) -> str:
    return "\n".join(sample.text for sample in outcome.last.totals.error_samples)


async def test_unary_calls_are_counted_as_the_server_does() -> None:
    order = {"item": "tea", "count": 7, "at": "2024-01-01T00:00:00Z"}
    async with grpc_shop() as shop:
        load = workflow("Place", order, 60, 4, metadata={"x-who": "me", "x-key-bin": "AAE="})
        outcome = await run(load, shop.port)
    assert shop.calls == 60
    assert shop.orders == ["tea"] * 60
    # Each user has a connection of its own.
    assert len(shop.peers) == 4
    assert {(entry["x-who"], entry["x-key-bin"]) for entry in shop.metadata} == {("me", b"\x00\x01")}
    assert all(str(entry["user-agent"]).startswith("hyperscale") for entry in shop.metadata)
    measured = metrics(outcome)
    assert measured["grpc_reqs"]["count"] == measured["iterations"]["count"] == 60
    assert measured["grpc_req_failed"]["rate"] == 0
    assert measured["grpc_req_duration"]["med"] > 0
    assert measured["grpc_connecting"]["min"] > 0
    assert measured["data_sent"]["count"] == 60 * 15
    assert measured["data_received"]["count"] == 60 * 7
    assert "grpc_streams" not in measured
    assert "http_reqs" not in measured


@pytest.mark.parametrize(
    ("method", "request_", "sent", "received"),
    [
        ("Watch", {"item": "tea", "count": 5}, 1, 5),
        ("Upload", [{"item": "a"}, {"item": "b"}, {"item": "c"}], 3, 1),
        ("Upload", None, 0, 1),
        ("Talk", [{"item": "a"}, {"item": "b"}], 2, 2),
    ],
)
async def test_streams_of_each_kind(method: str, request_: object, sent: int, received: int) -> None:
    async with grpc_shop() as shop:
        outcome = await run(workflow(method, request_, 10, 2), shop.port)
    assert failures(outcome) == {}
    assert shop.calls == 10
    measured = metrics(outcome)
    assert measured["grpc_reqs"]["count"] == measured["grpc_streams"]["count"] == 10
    assert measured.get("grpc_streams_msgs_sent", {"count": 0})["count"] == len(shop.orders) == 10 * sent
    assert measured["grpc_streams_msgs_received"]["count"] == shop.sent == 10 * received


async def test_templates_checks_and_extractions() -> None:
    content = workflow(
        "Place",
        {"item": "order {{iteration}}", "count": "{{random_int(3, 3) | raw}}"},
        2,
        metadata={"x-number": "{{iteration}}"},
        checks=[
            {"name": "is ok", "status": {"any_of": [0]}},
            {"name": "counts", "json": {"path": "$.totalCount", "equals": 3}},
            {"name": "is open", "header": {"name": "x-shop", "equals": "open"}},
            {"name": "is stamped", "header": {"name": "x-stamp-bin", "equals": "AAE="}},
            {"name": "is quick", "max_duration": "5s"},
        ],
        extract=[{"variable": "item", "json_path": "$.items[0]"}, {"variable": "code", "status": True}],
    )
    content["steps"].append(
        {"name": "again", "grpc": {"method": f"{SERVICE}/Talk", "request": [{"item": "{{item}}!"}]}}
    )
    async with grpc_shop() as shop:
        outcome = await run(content, shop.port)
    assert shop.orders == ["order 0", "order 0!", "order 1", "order 1!"]
    assert [entry["x-number"] for entry in shop.metadata if "x-number" in entry] == ["0", "1"]
    checks = {check.name: (check.passes, check.fails) for check in outcome.last.totals.steps[0].checks}
    assert checks == dict.fromkeys(["is ok", "counts", "is open", "is stamped", "is quick"], (2, 0))
    assert failures(outcome) == {}


async def test_checks_see_the_last_message_of_a_stream_and_what_is_missing_fails_the_call() -> None:
    load = workflow(
        "Watch",
        {"item": "tea", "count": 3},
        checks=[{"name": "last", "json": {"path": "$.totalCount", "equals": 2}}],
        extract=[{"variable": "x", "json_path": "$.nowhere"}],
    )
    async with grpc_shop() as shop:
        outcome = await run(load, shop.port)
    assert outcome.last.totals.steps[0].checks[0].passes == 1
    assert failures(outcome) == {"CHECK": 1}


@pytest.mark.parametrize(
    ("item", "options", "failed"),
    [
        ("nothing", {}, {"STATUS": 1}),
        ("nothing", {"expected_statuses": [0, 5]}, {}),
        ("tea", {"expected_statuses": [5]}, {"STATUS": 1}),
        ("busy", {}, {"STATUS": 1}),
        ("slow", {"timeout": "0.3s"}, {"TIMEOUT": 1}),
    ],
)
@pytest.mark.parametrize("method", ["Place", "Talk"])
async def test_statuses(method: str, item: str, options: dict[str, Any], failed: dict[str, int]) -> None:
    request = {"item": item} if method == "Place" else [{"item": item}]
    check = {"name": "not found", "status": {"any_of": [5]}}
    async with grpc_shop() as shop:
        outcome = await run(workflow(method, request, checks=[check], **options), shop.port)
    assert failures(outcome) == failed
    assert outcome.last.totals.steps[0].checks[0].passes == (item == "nothing")


async def test_a_given_description_is_enough() -> None:
    async with grpc_shop(reflects=False) as shop:
        outcome = await run(workflow("Place", {"item": "tea"}, 3), shop.port, descriptor_set=FILES.SerializeToString())
        assert failures(outcome) == {}
        assert shop.calls == 3
        outcome = await run(workflow("Place", {"item": "tea"}, 3), shop.port)
    assert failures(outcome) == {"REQUEST": 3}
    assert f"no description of '{SERVICE}': the server has no reflection" in complaints(outcome)
    assert shop.calls == 3


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("Nope", {}, "has no method 'Nope'; there are Place, Talk, Upload, Watch"),
        ("Place", {"itm": "tea"}, 'has no field named "itm"'),
        ("Place", {"count": "many"}, "is not a test.shop.v1.Order"),
        ("Place", [{"item": "tea"}], "must be a mapping of the fields of test.shop.v1.Order"),
        ("Upload", {"item": "tea"}, "must be a list of messages: the client of"),
    ],
)
async def test_calls_that_cannot_be_made_say_why(method: str, request_: object, reason: str) -> None:
    async with grpc_shop() as shop:
        outcome = await run(workflow(method, request_, 2), shop.port)
        assert shop.calls == 0
    assert failures(outcome) == {"REQUEST": 2}
    assert reason in complaints(outcome)
    assert metrics(outcome)["grpc_req_failed"]["rate"] == 1


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"x-who": "{{'ü'}}"}, "metadata 'x-who' cannot be sent"),
        ({"x-key-bin": "{{'no base64'}}"}, "metadata 'x-key-bin' is not base64"),
    ],
)
async def test_what_came_into_the_place_of_a_template_may_be_anything(metadata: dict[str, str], reason: str) -> None:
    async with grpc_shop() as shop:
        outcome = await run(workflow("Place", {"count": "{{iteration}}"}, 2, metadata=metadata), shop.port)
        assert shop.calls == 0
        assert failures(outcome) == {"REQUEST": 2}
        assert reason in complaints(outcome)
        outcome = await run(workflow("Place", {"count": "{{'many'}}"}, 2), shop.port)
    assert failures(outcome) == {"REQUEST": 2}


async def test_a_service_that_the_server_does_not_have() -> None:
    load = workflow("Place")
    load["steps"][0]["grpc"]["method"] = "other.Service/Call"
    async with grpc_shop() as shop:
        outcome = await run(load, shop.port)
    assert failures(outcome) == {"REQUEST": 1}
    assert "the server does not describe it" in complaints(outcome)


async def test_nobody_listens() -> None:
    described = FILES.SerializeToString()
    assert failures(await run(workflow("Place", iterations=2), 1)) == {"CONNECT": 2}
    assert failures(await run(workflow("Place", iterations=2), 1, descriptor_set=described)) == {"CONNECT": 2}
    load = workflow("Talk", [{}], target="grpc://no.such.host.invalid:1")
    assert failures(await run(load, 1, descriptor_set=described)) == {"DNS": 1}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
async def test_servers_that_do_not_speak_grpc(answer: bytes | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is not None:
            writer.write(answer)
            writer.close()
        await reader.read()

    expected = {None: "TIMEOUT", b"": "RESET"}.get(answer, "PROTOCOL")
    async with listening(serve) as port:
        load = workflow("Place", timeout=f"{timeout_seconds(expected)}s")
        outcome = await run(load, port, descriptor_set=FILES.SerializeToString())
    assert failures(outcome) == {expected: 1}


async def stop_soon(shop: GrpcShop) -> None:
    async with asyncio.timeout(30):
        while not shop.orders:
            await asyncio.sleep(0.02)
    assert shop.server is not None
    await shop.server.stop(None)


@pytest.mark.parametrize("method", ["Place", "Talk"])
async def test_a_server_that_dies_under_way(method: str) -> None:
    request = {"item": "slow"} if method == "Place" else [{"item": "slow"}]
    async with grpc_shop() as shop:
        outcome, _ = await asyncio.gather(
            run(workflow(method, request, 2), shop.port, descriptor_set=FILES.SerializeToString()), stop_soon(shop)
        )
    assert failures(outcome) == {"RESET": 1, "CONNECT": 1}


@pytest.mark.parametrize("method", ["Place", "Watch", "Talk"])
async def test_the_end_of_the_run_interrupts_calls(method: str) -> None:
    content = workflow(method, [{"item": "slow"}] if method == "Talk" else {"item": "slow"})
    del content["shared_iterations"]
    content |= {"constant_vus": {"vus": 3, "duration": "0.6s"}, "graceful_stop": "0s"}
    async with grpc_shop() as shop:
        outcome = await run(content, shop.port)
        assert shop.calls == 3
    assert failures(outcome) == {"CANCELLED": 3}
    assert outcome.elapsed_seconds < 20


async def test_users_that_wait_for_a_connection_are_interrupted_too() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    content = workflow("Place")
    del content["shared_iterations"]
    content |= {"constant_vus": {"vus": 3, "duration": "0.4s"}, "graceful_stop": "0s"}
    async with listening(ignore) as port:
        outcome = await run(content, port)
    assert outcome.elapsed_seconds < 20


async def test_tls_is_verified_with_the_certificates_of_the_job() -> None:
    authority = trustme.CA()
    server_certificate, client_certificate = authority.issue_cert("shop.test"), authority.issue_cert("users.test")
    credentials = grpc.ssl_server_credentials(
        [(server_certificate.private_key_pem.bytes(), server_certificate.cert_chain_pems[0].bytes())],
        root_certificates=authority.cert_pem.bytes(),
        require_client_auth=True,
    )
    known = workflow_pb2.HttpOptions(
        ca_certificates=authority.cert_pem.bytes().decode(),
        client_certificate=client_certificate.cert_chain_pems[0].bytes().decode(),
        client_key=client_certificate.private_key_pem.bytes().decode(),
        server_name="shop.test",
    )
    other_name, stranger = workflow_pb2.HttpOptions(), workflow_pb2.HttpOptions()
    other_name.CopyFrom(known)
    other_name.server_name = "other.test"
    stranger.CopyFrom(known)
    stranger.ca_certificates = ""
    load = workflow("Place", {"item": "tea"})
    async with grpc_shop(credentials) as shop:
        assert failures(await run(load, shop.port, known, "https")) == {}
        assert failures(await run(load, shop.port, other_name, "https")) == {"TLS": 1}
        assert failures(await run(load, shop.port, stranger, "https")) == {"TLS": 1}
        assert shop.calls == 1


async def test_calls_go_through_the_proxy_of_the_job() -> None:
    async with grpc_shop() as shop, forward_proxy() as proxy:
        options = workflow_pb2.HttpOptions(proxy=proxy.url)
        assert failures(await run(workflow("Place", {"item": "tea"}, 2), shop.port, options)) == {}
        assert [line.split()[0] for line in proxy.lines] == ["CONNECT"]


async def test_a_call_counts_from_when_it_was_due() -> None:
    content = workflow("Place", {"item": "tea"})
    del content["shared_iterations"]
    content["constant_arrival_rate"] = {"rate": 20, "duration": "0.5s", "pre_allocated_vus": 10}
    async with grpc_shop() as shop:
        outcome = await run(content, shop.port)
    assert shop.calls == metrics(outcome)["grpc_reqs"]["count"] == 10


def test_a_run_without_grpc_loads_no_library_for_it() -> None:
    code = "import sys, hyperscale.worker.engine.session; sys.exit('grpc.aio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
