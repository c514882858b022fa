"""Redirects, cookies, chunks, shared connections: what a browser does, seen from the server."""

import pytest
from google.protobuf.duration_pb2 import Duration

from hyperscale.v1 import workflow_pb2
from hyperscale.v1.workflow_pb2 import HttpOptions
from tests.integration.engine.engine_process import http_step, running_engine, shared_iterations
from tests.integration.engine.web_servers import Asked, redirect, response, step_of, values, web

POST = workflow_pb2.HTTP_METHOD_POST
HEAD = workflow_pb2.HTTP_METHOD_HEAD


async def test_every_hop_is_a_request_and_the_last_one_is_judged() -> None:
    def site(asked: Asked) -> bytes:
        return {"/": redirect("/a"), "/a": redirect("b", 301), "/b": response(404)}[asked.target]

    async with web(site) as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(http_step("s", "/"), vus=2, iterations=6), server.url)
    assert outcome.total == 18 == len(server.asked)
    assert outcome.failures == {"STATUS": 6}
    assert outcome.last.totals.iterations == 6
    assert server.targets == {"/": 6, "/a": 6, "/b": 6}
    assert server.connections == 2
    step = step_of(outcome, "s")
    assert values(step.duration_ms) == values(step.blocked_ms) == values(step.waiting_ms) == 18


async def test_redirects_lead_to_other_origins_without_credentials() -> None:
    async with web(lambda _: response()) as other:
        moved = redirect(f"{other.url}/there", 307, "Set-Cookie: jar=1; Path=/")
        async with web(lambda _: moved) as server, running_engine() as engine:
            step = http_step("s", "/", method=POST, text="body", headers={"Authorization": "Basic eDp5", "X-Kept": "y"})
            outcome = await engine.run(shared_iterations(step, vus=2, iterations=4), server.url)
    assert (outcome.failures, outcome.total) == ({}, 8)
    assert (server.connections, other.connections) == (2, 2)
    assert {(asked.method, asked.body) for asked in other.asked} == {("POST", b"body")}
    assert server.fields("/", "authorization") == ["Basic eDp5"] * 4
    assert other.fields("/there", "authorization") == [None] * 4
    assert other.fields("/there", "x-kept") == ["y"] * 4
    assert other.fields("/there", "host") == [other.url.removeprefix("http://")] * 4
    # Cookies know no ports: the same host gets them.
    assert other.fields("/there", "cookie") == ["jar=1"] * 4


@pytest.mark.parametrize("limit", [0, 1, 3])
async def test_redirects_end_at_their_limit(limit: int) -> None:
    async with web(lambda _: redirect("/again")) as server, running_engine() as engine:
        workflow = shared_iterations(http_step("s", "/", max_redirects=limit), vus=1, iterations=2)
        outcome = await engine.run(workflow, server.url)
    assert outcome.total == len(server.asked) == 2 * (limit + 1)
    assert outcome.failures == ({"REDIRECT": 2} if limit else {})
    assert outcome.last.totals.iterations == 2


@pytest.mark.parametrize("location", ["ftp://elsewhere/", "http://user:secret@h/", "http://[::1"])
async def test_a_redirect_to_nowhere_fails(location: str) -> None:
    async with web(lambda _: redirect(location)) as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(http_step("s", "/"), vus=1, iterations=2), server.url)
    assert (outcome.total, outcome.failures) == (2, {"REDIRECT": 2})


async def test_ever_new_origins_are_not_followed_for_ever() -> None:
    def site(asked: Asked) -> bytes:
        return redirect(f"http://127.0.{len(server.asked) // 200}.{len(server.asked) % 200 + 2}:{server.port}/")

    async with web(site) as server, running_engine() as engine:
        workflow = shared_iterations(http_step("s", "/", max_redirects=50), vus=1, iterations=5)
        outcome = await engine.run(workflow, server.url)
    assert outcome.failures.get("REDIRECT", 0) + outcome.failures.get("CONNECT", 0) == 5
    assert outcome.last.totals.iterations == 5


async def test_head_and_redirects_without_a_location() -> None:
    def site(asked: Asked) -> bytes:
        answer = redirect("/end") if asked.target == "/" else response(302 if asked.target == "/none" else 200)
        return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if asked.method == "HEAD" else answer

    async with web(site) as server, running_engine() as engine:
        steps = [http_step("head", "/", method=HEAD), http_step("none", "/none", expected_statuses=[302])]
        outcome = await engine.run(shared_iterations(*steps, vus=1, iterations=2), server.url)
    assert (outcome.failures, outcome.total) == ({}, 6)
    assert [asked.method for asked in server.asked[:3]] == ["HEAD", "HEAD", "GET"]
    assert server.connections == 1


def shop(asked: Asked) -> bytes:
    """Gives each visitor a number, and takes it back when the visitor leaves."""
    if asked.target == "/login":
        return response(200, f"Set-Cookie: visitor={asked.connection}; Path=/", "Set-Cookie: extra=1; Path=/private")
    if asked.target == "/leave":
        return response(204, "Set-Cookie: visitor=; Path=/; Max-Age=0", body=b"")
    return response()


VISIT = [http_step(name, f"/{name}") for name in ("login", "open", "private", "leave")] + [
    http_step("after", "/open?2")
]


async def test_each_user_keeps_its_own_cookies() -> None:
    async with web(shop) as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(*VISIT, vus=3, iterations=9), server.url)
    assert (outcome.failures, outcome.total) == ({}, 45)
    for asked in server.asked:
        if asked.target == "/open":
            assert asked.fields["cookie"] == f"visitor={asked.connection}"
    assert all(cookie and cookie.startswith("extra=1; visitor=") for cookie in server.fields("/private", "cookie"))
    assert server.fields("/open?2", "cookie") == [None] * 9
    assert server.connections == 3
    sent = sum(step.bytes_sent for step in outcome.last.totals.steps)
    authority = server.url.removeprefix("http://")
    plain = len(f"GET  HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: hyperscale\r\n\r\n")
    cookies = sum(len(f"Cookie: {asked.fields['cookie']}\r\n") for asked in server.asked if "cookie" in asked.fields)
    assert sent == 45 * plain + sum(len(asked.target) for asked in server.asked) + cookies


async def test_cookies_can_be_switched_off() -> None:
    async with web(shop) as server, running_engine() as engine:
        workflow = shared_iterations(*VISIT, vus=1, iterations=2)
        outcome = await engine.run(workflow, server.url, options=HttpOptions(disable_cookies=True))
    assert (outcome.failures, outcome.total) == ({}, 10)
    assert not any("cookie" in asked.fields for asked in server.asked)


@pytest.mark.parametrize("size", [0, 10, 100_000])
async def test_bodies_are_sent_in_chunks(size: int) -> None:
    async with web(lambda _: response()) as server, running_engine() as engine:
        step = http_step("s", "/", method=POST, binary=b"x" * size, chunked=True)
        outcome = await engine.run(shared_iterations(step, vus=1, iterations=3), server.url)
    assert (outcome.failures, outcome.total, server.connections) == ({}, 3, 1)
    assert {len(asked.body) for asked in server.asked} == {size}
    assert {asked.fields.get("content-length") for asked in server.asked} == {None}


async def test_users_share_a_limited_number_of_connections() -> None:
    async with web(lambda _: response(), delay_seconds=0.01) as server, running_engine() as engine:
        steps = [http_step("a", "/a"), http_step("b", "/b")]
        workflow = shared_iterations(*steps, vus=10, iterations=40)
        outcome = await engine.run(workflow, server.url, options=HttpOptions(max_connections_per_origin=3))
    assert (outcome.failures, outcome.total) == ({}, 80)
    assert server.connections == server.most_open == 3
    assert step_of(outcome, "a").blocked_ms.max >= 10


async def test_waiting_for_a_shared_connection_ends_in_time() -> None:
    async with web(lambda _: response(), delay_seconds=30) as server, running_engine() as engine:
        workflow = shared_iterations(http_step("s", "/", timeout_seconds=0.4), vus=6, iterations=12)
        options = HttpOptions(max_connections_per_origin=2, dns_ttl=Duration(seconds=1))
        outcome = await engine.run(workflow, server.url, options=options)
    assert outcome.failures == {"TIMEOUT": 12}
    assert server.connections < 12, "who waits for a connection until the timeout opens none"
    assert outcome.elapsed_seconds < 20
