from hypothesis import given
from hypothesis import strategies as st

from hyperscale.worker.engine.admission import IterationStock
from hyperscale.worker.engine.pacing import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, pause_seconds


@given(st.integers(min_value=0, max_value=200), st.integers(min_value=0, max_value=300))
def test_stock_gives_exactly_what_it_holds(iterations: int, attempts: int) -> None:
    stock = IterationStock(iterations)
    assert sum(stock.take() for _ in range(attempts)) == stock.started == min(iterations, attempts)


def test_time_alone_limits_a_stock_without_number() -> None:
    stock = IterationStock(None)
    assert all(stock.take() for _ in range(1000))
    stock.close()
    assert not stock.take()
    assert stock.started == 1000


@given(st.integers(min_value=1, max_value=10_000))
def test_pauses_grow_to_a_limit(failures_in_a_row: int) -> None:
    pause = pause_seconds(failures_in_a_row)
    assert FIRST_PAUSE_SECONDS / 2 <= pause <= LONGEST_PAUSE_SECONDS
    if failures_in_a_row > 8:
        assert pause >= LONGEST_PAUSE_SECONDS / 2
