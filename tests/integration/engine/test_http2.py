"""HTTP/2 requests keep all promises of HTTP requests, over connections that speak it and no others."""

import gzip
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from hyperscale.v1.workflow_pb2 import HttpOptions
from tests.integration.engine.coded_flows import coded, exceptions
from tests.integration.engine.coded_flows import run as run_coded
from tests.integration.engine.engine_process import (
    Outcome,
    constant_vus,
    http_step,
    running_engine,
    shared_iterations,
)
from tests.integration.engine.http2_servers import Http2Peer, Reply, http2_web, site
from tests.integration.engine.test_conservation import assert_consistent
from tests.integration.engine.test_secure_http import trust
from tests.integration.engine.web_servers import Asked, forward_proxy, response, step_of, values, web
from tests.support.nginx import Nginx, running_nginx
from tests.support.tools import require_tool

HTTP_2 = workflow_pb2.HTTP_VERSION_HTTP_2
POST = workflow_pb2.HTTP_METHOD_POST
AUTHORITY = trustme.CA()
TRUSTED = HttpOptions(ca_certificates=AUTHORITY.cert_pem.bytes().decode())


def step(name: str, url: str, **fields: object) -> workflow_pb2.Step:
    fields.setdefault("timeout_seconds", 5)
    return http_step(name, url, version=HTTP_2, **fields)  # type: ignore[arg-type]


async def run(*steps: workflow_pb2.Step, url: str, iterations: int = 1, vus: int = 1, **options: object) -> Outcome:
    async with running_engine() as engine:
        workflow = shared_iterations(*steps, vus=vus, iterations=iterations)
        outcome = await engine.run(workflow, url, options=HttpOptions(**options))  # type: ignore[arg-type]
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    require_tool("nginx")
    certificate = tmp_path_factory.mktemp("certificate") / "server.pem"
    AUTHORITY.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with running_nginx(certificate=certificate, keepalive_requests=100) as running:
        yield running


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nginx_and_the_engine_count_the_same(nginx: Nginx, scheme: str) -> None:
    """With connections on which nginx says GOAWAY after 100 requests each."""
    url = nginx.http2_url if scheme == "http" else nginx.tls_url
    before = nginx.requests()
    async with running_engine() as engine:
        steps = [step("a", "/"), step("b", "/?page=2")]
        outcome = await engine.run(constant_vus(*steps, vus=2, seconds=1.5), url, options=TRUSTED)
        assert outcome.failures == {}
        assert nginx.requests() - before == outcome.total > 250
        before = nginx.requests()
        engine.start(constant_vus(*steps, vus=8, seconds=30), url, run_id=2, options=TRUSTED)
        first = await engine.next_report()
        engine.stop(graceful=False, run_id=2)
        halted = await engine.outcome(run_id=2)
        halted.progress.insert(0, first.progress)
    assert nginx.requests() - before == halted.total
    assert set(halted.failures) <= {"CANCELLED"}
    assert_consistent(outcome)


async def test_a_request_says_in_http2_what_it_says_in_http1() -> None:
    fields = {"headers": {"X-Kept": "Yes"}, "method": POST, "json": None}
    request = step("s", "/x?y=z", **{k: v for k, v in fields.items() if v is not None})
    request.http.json.struct_value["a"] = 1
    unannounced = step("t", "/t", method=POST, text="abc", chunked=True)
    async with http2_web(site(lambda _: Reply())) as server:
        outcome = await run(request, unannounced, url=server.url)
    assert (outcome.failures, outcome.total, server.connections) == ({}, 2, 1)
    first, second = server.asked
    assert (first.method, first.target, first.body) == ("POST", "/x?y=z", b'{"a":1}')
    assert first.fields == {
        ":method": "POST",
        ":scheme": "http",
        ":authority": server.url.removeprefix("http://"),
        ":path": "/x?y=z",
        "x-kept": "Yes",
        "user-agent": "hyperscale",
        "content-type": "application/json",
        "content-length": "7",
    }
    assert second.body == b"abc"
    assert not {"content-length", "transfer-encoding"} & set(second.fields)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(), id="body"),
        pytest.param(Reply(204, body=b""), id="no body"),
        pytest.param(Reply(304, (("content-length", "99"),), b""), id="304 with length"),
        pytest.param(Reply(interim=(103, 100)), id="interim"),
        pytest.param(Reply(trailers=(("x-trailer", "x"),)), id="trailers"),
        pytest.param(Reply(body=b"x" * 3_000_000), id="long"),
    ],
)
async def test_response_is_understood(reply: Reply) -> None:
    steps = [step("a", "/"), step("b", "/b", method=POST, binary=b"y" * 500_000)]
    async with http2_web(site(lambda _: reply)) as server:
        outcome = await run(*steps, url=server.url, vus=2, iterations=6)
    assert (outcome.failures, outcome.total, server.connections) == ({}, 12, 2)
    assert {len(asked.body) for asked in server.asked} == {0, 500_000}
    for name, sent_bytes in (("a", 0), ("b", 500_000)):
        measured = step_of(outcome, name)
        for histogram in (measured.duration_ms, measured.waiting_ms, measured.sending_ms, measured.blocked_ms):
            assert values(histogram) == 6
        assert 6 * len(reply.body) < measured.bytes_received < 6 * (len(reply.body) * 1.01 + 500)
        assert 6 * sent_bytes < measured.bytes_sent < 6 * (sent_bytes * 1.01 + 500)


async def test_head_has_no_body() -> None:
    head = step("a", "/", method=workflow_pb2.HTTP_METHOD_HEAD)
    async with http2_web(site(lambda _: Reply(200, (("content-length", "5000"),)))) as server:
        outcome = await run(head, url=server.url, iterations=3)
    assert (outcome.failures, outcome.total, server.connections) == ({}, 3, 1)


def shop(asked: Asked) -> Reply:
    """Knows its visitors by their cookies."""
    match asked.target.partition("?")[0]:
        case "/login":
            return Reply(302, (("location", "/home"), ("set-cookie", f"visitor={asked.connection}; Path=/")), b"")
        case "/home":
            body = gzip.compress(b'{"token": "t%d", "ok": true}' % asked.connection)
            return Reply(200, (("content-encoding", "gzip"), ("content-type", "application/json")), body)
        case "/gone":
            return Reply(404)
        case _:
            return Reply()


async def test_redirects_cookies_templates_checks_and_extraction() -> None:
    login = step("login", "/login")
    ParseDict(
        {
            "checks": [
                {"name": "is home", "status": {"any_of": [200]}},
                {"name": "is well", "json": {"path": "$.ok", "equals": True}},
                {"name": "is JSON", "header": {"name": "Content-Type", "equals": "application/json"}},
                {"name": "says bye", "body_contains": "bye"},
            ],
            "extract": [{"variable": "token", "json_path": "$.token"}],
        },
        login,
    )
    buy = step("buy", "/buy?token={{token}}", method=POST, headers={"Authorization": "Bearer {{token}}"}, text="{{vu}}")
    async with http2_web(site(shop)) as server:
        outcome = await run(login, buy, step("gone", "/gone"), url=server.url, vus=2, iterations=4)
    assert (outcome.failures, outcome.total) == ({"STATUS": 4}, 16)
    checks = {check.name: (check.passes, check.fails) for check in step_of(outcome, "login").checks}
    assert checks == {"is home": (4, 0), "is well": (4, 0), "is JSON": (4, 0), "says bye": (0, 4)}
    bought = [asked for asked in server.asked if asked.target.startswith("/buy")]
    assert len(bought) == 4
    for asked in bought:
        assert asked.target == f"/buy?token=t{asked.connection}"
        assert asked.fields["authorization"] == f"Bearer t{asked.connection}"
        assert asked.fields["cookie"] == f"visitor={asked.connection}"
        assert int(asked.fields["content-length"]) == len(asked.body)


async def test_graphql_is_spoken_over_http2() -> None:
    action = {"url": "/graphql", "query": "{ a }", "version": "HTTP_VERSION_HTTP_2"}
    query = ParseDict({"name": "q", "graphql": action}, workflow_pb2.Step())
    failing = Reply(body=b'{"errors": [{"message": "no"}]}')
    async with http2_web(site(lambda _: failing)) as server:
        outcome = await run(query, url=server.url, iterations=2)
    assert (outcome.failures, outcome.total) == ({"GRAPHQL": 2}, 2)
    assert server.asked[0].body == b'{"query":"{ a }"}'


async def test_redirects_stay_in_http2_and_versions_have_connections_of_their_own() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    async with http2_web(site(lambda _: Reply()), tls=context) as secure:
        moved = Reply(307, (("location", f"{secure.url}/there"),), b"")
        async with http2_web(site(lambda _: moved)) as plain, web(lambda _: response()) as old:
            steps = [step("new", f"{plain.url}/"), http_step("old", f"{old.url}/")]
            pem = TRUSTED.ca_certificates
            outcome = await run(*steps, url=plain.url, iterations=2, ca_certificates=pem)
    assert (outcome.failures, outcome.total) == ({}, 6)
    assert (plain.targets, secure.targets, len(old.asked)) == (["/"] * 2, ["/there"] * 2, 2)
    assert values(step_of(outcome, "new").tls_handshaking_ms) >= 2


async def test_a_server_without_http2_is_told_apart(tmp_path: Path) -> None:
    known = trust("127.0.0.1")
    async with web(lambda _: response(), tls=known.server) as server:
        by_alpn = await run(step("s", "/"), url=server.url, iterations=2, ca_certificates=known.pem)
    assert by_alpn.failures == {"PROTOCOL": 2}
    assert server.asked == []
    async with web(lambda _: response()) as server:
        outcome = await run(step("s", "/", timeout_seconds=1), url=server.url, iterations=1)
    assert outcome.failures == {"PROTOCOL": 1}


async def test_http2_goes_through_the_tunnel_of_a_proxy() -> None:
    async with http2_web(site(lambda _: Reply())) as server, forward_proxy() as proxy:
        outcome = await run(step("s", "/"), url=server.url, iterations=3, proxy=proxy.url)
    assert (outcome.failures, outcome.total) == ({}, 3)
    assert [line.split()[0] for line in proxy.lines] == ["CONNECT"]


async def test_nothing_listens_and_no_such_name() -> None:
    assert (await run(step("s", "http://127.0.0.1:1/"), url="", iterations=2)).failures == {"CONNECT": 2}
    assert (await run(step("s", "http://nobody.invalid/"), url="", iterations=2)).failures == {"DNS": 2}


async def test_time_limits_hold_by_phase() -> None:
    def react(peer: Http2Peer, stream: int, asked: Asked) -> None:
        if asked.target == "/begun":
            peer.library.send_headers(stream, [(":status", "200")])

    silent = step("silent", "/silent")
    silent.http.first_byte_timeout.FromMilliseconds(200)
    begun = step("begun", "/begun", timeout_seconds=0.6)
    begun.http.first_byte_timeout.FromMilliseconds(200)
    async with http2_web(react) as server:
        outcome = await run(silent, begun, url=server.url)
    assert outcome.failures == {"TIMEOUT": 2}
    assert 0.7 < outcome.elapsed_seconds < 8
    # A peer that has said something since, if only how it speaks, keeps its connection.
    assert server.connections == 1


def test_a_run_without_http2_loads_no_library_for_it() -> None:
    code = "import sys, hyperscale.worker.engine.session; sys.exit('h2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


CODED = """
class Flow(Workflow):
    @step()
    async def shop(self) -> None:
        self.check("is old", (await self.http.get(self.variables["old"])).text() == "ok")
        login = await self.http.post("/login", json={"user": "ann"}, http_version="2")
        self.check("is home", login.json() == {"token": "t1", "ok": True})
        self.check("is JSON", login.headers["content-type"] == "application/json")
        gone = await self.http.get("/gone", http_version="2", expected_statuses=[404])
        self.check("is gone", gone.expected and gone.content == b"ok")
        old = await self.http.get(self.variables["old"], http_version="1.1")
        self.check("is old still", old.status == 200)
"""


async def test_code_asks_for_http2_by_request(tmp_path: Path) -> None:
    start = coded(tmp_path, CODED, "shop", iterations=3)
    async with http2_web(site(shop)) as server, web(lambda _: response()) as old, running_engine() as engine:
        start.variables["old"] = old.url
        outcome = await run_coded(engine, start, server.url)
    assert exceptions(outcome) == {}
    assert (outcome.failures, outcome.total) == ({}, 15)
    checks = {check.name: (check.passes, check.fails) for check in step_of(outcome, "shop").checks}
    assert checks == dict.fromkeys(("is old", "is home", "is JSON", "is gone", "is old still"), (3, 0))
    assert (server.targets, server.connections) == (["/login", "/home", "/gone"] * 3, 1)
    assert (len(old.asked), old.connections) == (6, 1)


@pytest.mark.parametrize(
    ("version", "limit", "told"),
    [("3", 0, "http_version '3' is not known; there are 1.1, 2"), ("2", 4, "each user has a connection of its own")],
)
async def test_code_is_told_which_versions_there_are(tmp_path: Path, version: str, limit: int, told: str) -> None:
    body = f'class Flow(Workflow):\n    @step()\n    async def s(self) -> None:\n        await self.http.get("/", http_version="{version}")\n'
    start = coded(tmp_path, body, "s")
    start.http_options.max_connections_per_origin = limit
    async with running_engine() as engine:
        outcome = await run_coded(engine, start, "http://127.0.0.1:1")
    assert outcome.total == 0
    assert any(told in text for text in exceptions(outcome))
