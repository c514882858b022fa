"""How engines are placed, paced and described."""

import pytest

from hyperscale.worker.engine_pool import cpus_for, respawn_delay_seconds
from hyperscale.worker.engine_process import engine_environment
from hyperscale.worker.models.engines import EngineExit


@pytest.mark.parametrize(
    ("engines", "allowed", "expected"),
    [
        (2, {0, 1}, [0, 1]),
        (2, {5, 3}, [3, 5]),
        (1, {0, 1}, [None]),
        (3, {0, 1}, [None, None, None]),
        (1, set(), [None]),
    ],
)
def test_engines_are_pinned_when_each_has_a_cpu_and_no_cpu_is_left(
    engines: int, allowed: set[int], expected: list[int | None]
) -> None:
    assert cpus_for(engines, frozenset(allowed)) == expected


def test_the_pause_before_a_respawn_doubles_up_to_a_limit() -> None:
    delays = [respawn_delay_seconds(lives) for lives in range(100)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert max(delays) == delays[-1] == 5.0


def test_engines_get_what_they_need_and_no_secrets() -> None:
    environment = {"PATH": "/bin", "HYPERSCALE_WORKER_PORT": "1", "AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/src"}
    seen = engine_environment(environment)
    assert (seen["PATH"], seen["PYTHONPATH"], seen["OMP_NUM_THREADS"]) == ("/bin", "/src", "1")
    assert not {"HYPERSCALE_WORKER_PORT", "AWS_SECRET_ACCESS_KEY"} & seen.keys()


@pytest.mark.parametrize(
    ("returncode", "how"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by SIGKILL"),
        (-99, "was killed by signal 99"),
    ],
)
def test_an_exit_is_told_to_people(returncode: int, how: str) -> None:
    assert EngineExit(1, returncode).how == how
