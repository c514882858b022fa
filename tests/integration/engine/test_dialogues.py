"""Templates, extractions, checks and feeds, seen from the server that gets the requests."""

from collections import Counter
from collections.abc import Sequence

from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.support.recording_target import Reaction, RecordingTarget, SeenRequest, recording_target

LOGIN = {
    "name": "login",
    "http": {
        "url": "/login",
        "method": "HTTP_METHOD_POST",
        "json": {"user": "{{users.name}}", "dice": "{{random_int(1, 6) | raw}}"},
    },
    "extract": [{"variable": "token", "json_path": "$.token"}],
    "checks": [
        {"name": "status is 200", "status": {"any_of": [200]}},
        {"name": "has a token", "json": {"path": "$.token"}},
        {"name": "is slow", "max_duration": "0.000000001s"},
    ],
}
ME = {
    "name": "me",
    "http": {"url": "/me/{{users.name}}?i={{iteration}}", "headers": {"Authorization": "Bearer {{token}}"}},
    "checks": [{"name": "is the user", "json": {"path": "$.user", "equals": "alice"}}],
}
USERS = {"name": "users", "csv": "name\nalice\nbob\n"}


def workflow(steps: Sequence[object], iterations: int, vus: int = 1, **fields: object) -> workflow_pb2.Workflow:
    load = {"vus": vus, "iterations": iterations}
    content = {"name": "w", "steps": list(steps), "shared_iterations": load, **fields}
    return ParseDict(content, workflow_pb2.Workflow())


def logged_in(request: SeenRequest) -> Reaction:
    if request.path == "/login":
        name = request.body.partition('"user":"')[2].partition('"')[0]
        return Reaction({"token": f"secret of {name}"})
    name = request.headers["Authorization"].removeprefix("Bearer secret of ")
    return Reaction({"user": name})


async def run(target: RecordingTarget, load: workflow_pb2.Workflow) -> Outcome:
    async with running_engine() as engine:
        outcome = await engine.run(load, target.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    assert outcome.total == len(target.seen)
    return outcome


def checks_of(outcome: Outcome) -> dict[str, tuple[int, int]]:
    return {check.name: (check.passes, check.fails) for step in outcome.last.totals.steps for check in step.checks}


async def test_each_iteration_speaks_with_its_own_data() -> None:
    with recording_target(logged_in) as target:
        outcome = await run(target, workflow([LOGIN, ME], 4, feeds=[USERS]))
    assert outcome.failures == {}
    me = [request for request in target.seen if request.path.startswith("/me")]
    assert [request.path for request in me] == ["/me/alice?i=0", "/me/bob?i=1", "/me/alice?i=2", "/me/bob?i=3"]
    assert {request.headers["Authorization"] for request in me} == {"Bearer secret of alice", "Bearer secret of bob"}
    assert checks_of(outcome) == {
        "status is 200": (4, 0),
        "has a token": (4, 0),
        "is slow": (0, 4),
        "is the user": (2, 2),
    }
    sent = sum(step.bytes_sent for step in outcome.last.totals.steps)
    windows = sum(step.bytes_sent for window in outcome.windows for step in window.stats.steps)
    assert sent == windows > sum(len(request.path) + len(request.body) for request in target.seen)


async def test_what_is_not_found_ends_the_iteration_and_counts_as_a_failure() -> None:
    with recording_target(lambda _: Reaction({"error": "locked"})) as target:
        outcome = await run(target, workflow([LOGIN, ME], 3, feeds=[USERS]))
    assert [request.path for request in target.seen] == ["/login"] * 3
    assert outcome.failures == {"CHECK": 3}
    assert outcome.last.totals.iterations == 3


async def test_a_status_that_is_not_expected_is_not_counted_twice() -> None:
    with recording_target(lambda _: Reaction(None, 503)) as target:
        outcome = await run(target, workflow([LOGIN, ME], 2, feeds=[USERS]))
    assert outcome.failures == {"STATUS": 2}
    assert checks_of(outcome)["status is 200"] == (0, 2)


async def test_a_default_takes_the_place_of_what_is_not_found() -> None:
    login = {**LOGIN, "extract": [{"variable": "token", "header": "X-Token", "default": "none"}]}
    with recording_target(lambda _: Reaction({})) as target:
        outcome = await run(target, workflow([login, ME], 1, feeds=[USERS]))
    assert outcome.failures == {}
    assert target.seen[1].headers["Authorization"] == "Bearer none"


async def test_checks_of_requests_without_response_fail() -> None:
    login = {**LOGIN, "http": {"url": "http://127.0.0.1:1/"}}
    async with running_engine() as engine:
        outcome = await engine.run(workflow([login, ME], 1, feeds=[USERS]), "http://127.0.0.1:1")
    assert outcome.failures == {"CONNECT": 1}
    assert checks_of(outcome) == {"status is 200": (0, 1), "has a token": (0, 1), "is slow": (0, 1)}


async def test_templates_survive_redirects_and_cookies() -> None:
    def react(request: SeenRequest) -> Reaction:
        if request.path.startswith("/old"):
            location = request.path.replace("old", "new")
            return Reaction(None, 307, {"Location": location, "Set-Cookie": "seen=yes; Path=/"})
        return Reaction({})

    step = {"name": "a", "http": {"url": "/old/{{counter}}", "method": "HTTP_METHOD_POST", "text": "{{users.name}}"}}
    with recording_target(react) as target:
        await run(target, workflow([step], 2, feeds=[USERS]))
    assert [(request.path, request.body) for request in target.seen] == [
        ("/old/1", "alice"),
        ("/new/1", "alice"),
        ("/old/2", "bob"),
        ("/new/2", "bob"),
    ]
    assert target.seen[3].headers["Cookie"] == "seen=yes"


async def test_users_end_when_there_is_no_row_left_for_them() -> None:
    step = {"name": "a", "http": {"url": "/{{rows.id}}"}}
    rows = {"name": "rows", "csv": "id\n" + "".join(f"{n}\n" for n in range(50)), "mode": "FEED_MODE_UNIQUE"}
    with recording_target() as target:
        outcome = await run(target, workflow([step], 80, vus=8, feeds=[rows]))
    assert Counter(request.path for request in target.seen) == {f"/{n}": 1 for n in range(50)}
    assert outcome.last.totals.iterations == 50


async def test_users_keep_their_rows_and_leave_the_iterations_to_those_who_have_one() -> None:
    step = {"name": "a", "http": {"url": "/{{rows.id}}/{{vu}}"}}
    rows = {"name": "rows", "csv": "id\n1\n2\n3\n", "mode": "FEED_MODE_UNIQUE", "pace": "FEED_PACE_USER"}
    with recording_target() as target:
        outcome = await run(target, workflow([step], 40, vus=10, feeds=[rows]))
    assert len({request.path for request in target.seen}) == 3
    assert len({request.path.split("/")[1] for request in target.seen}) == 3
    assert outcome.last.totals.iterations == 40


async def test_an_arrival_without_a_row_is_dropped() -> None:
    load = workflow(
        [{"name": "a", "http": {"url": "/{{rows.id}}"}}],
        1,
        feeds=[{"name": "rows", "csv": "id\n1\n2\n3\n", "mode": "FEED_MODE_UNIQUE"}],
    )
    arrivals = {"rate": 20, "duration": "1s", "pre_allocated_vus": 2, "max_vus": 4}
    ParseDict(arrivals, load.constant_arrival_rate)
    with recording_target() as target:
        outcome = await run(target, load)
    assert sorted(request.path for request in target.seen) == ["/1", "/2", "/3"]
    assert outcome.last.totals.dropped_iterations == 17


async def test_think_time_comes_before_the_next_values() -> None:
    step = {"name": "a", "http": {"url": "/{{timestamp_ms}}"}, "think_time": {"constant": "0.2s"}}
    with recording_target() as target:
        await run(target, workflow([step, {**step, "name": "b"}], 1))
    first, second = (int(request.path[1:]) for request in target.seen)
    assert second - first >= 190
