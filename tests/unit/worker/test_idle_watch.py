"""Engines that work for nobody are asked whether they live, and given up when they do not answer."""

from hyperscale.worker.idle_watch import IdleWatch
from hyperscale.worker.traces import place_in_code


def test_an_engine_that_answers_is_never_given_up() -> None:
    watch = IdleWatch(stall_seconds=3)
    for second in range(100):
        assert watch.silent([0, 1], second) == []
        watch.heard(0)
        watch.heard(1)


def test_an_engine_that_does_not_answer_is_given_up_in_time() -> None:
    watch = IdleWatch(stall_seconds=3)
    given_up = {}
    for second in range(5):
        given_up[second] = watch.silent([0, 1], second)
        watch.heard(1)
    assert given_up == {0: [], 1: [], 2: [], 3: [0], 4: [0]}


def test_an_engine_at_work_owes_nothing_here() -> None:
    watch = IdleWatch(stall_seconds=2)
    assert watch.silent([0], 0) == []
    assert watch.silent([], 1) == []
    assert watch.silent([0], 2) == []
    assert watch.silent([0], 3) == []


def test_nobody_is_given_up_for_a_time_in_which_nobody_listened() -> None:
    watch = IdleWatch(stall_seconds=3)
    watch.silent([0], 0)
    assert watch.silent([0], 600) == []
    assert watch.silent([0], 601) == [0]


def test_the_innermost_line_of_the_bundle_is_told() -> None:
    dump = """Timeout (0:00:05)!
Thread 0x00007f (most recent call first):
  File "/usr/lib/python3.11/json/decoder.py", line 355 in raw_decode
  File "/tmp/hyperscale-bundle-abc/lib/helper.py", line 7 in work
  File "/tmp/hyperscale-bundle-abc/job.py", line 12 in block
  File "/srv/hyperscale/worker/engine/coded.py", line 170 in iterate
"""
    assert place_in_code(dump) == "lib/helper.py:7 in work"
    assert place_in_code(dump.replace("hyperscale-bundle-", "")) == place_in_code("") == ""
