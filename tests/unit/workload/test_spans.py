"""How long load was made is found without comparing the clocks of machines."""

import pytest

from hyperscale.workload.spans import LoadSpans


def test_without_load_there_is_no_time() -> None:
    spans: LoadSpans[str] = LoadSpans()
    spans.close("a")
    assert (spans.seconds(9), spans.seconds_of("a", 9)) == (0, 0)


def test_time_goes_on_while_load_is_made_and_ends_with_it() -> None:
    spans: LoadSpans[str] = LoadSpans()
    spans.heard("a", 2, 102)
    assert (spans.seconds(105), spans.seconds()) == (5, 2)
    spans.heard("a", 6, 106, is_over=True)
    assert spans.seconds(200) == spans.seconds() == 6


def test_a_source_that_is_heard_no_more_has_ended_with_its_last_report() -> None:
    spans: LoadSpans[str] = LoadSpans()
    spans.heard("a", 2, 102)
    spans.close("a")
    assert spans.seconds(200) == 2


def test_the_first_load_to_the_last_counts_over_all_sources_with_gaps() -> None:
    spans: LoadSpans[str] = LoadSpans()
    spans.heard("a", 3, 103, is_over=True)
    spans.heard("b", 1, 108)
    assert spans.seconds(109) == 9
    spans.heard("b", 4, 111, is_over=True)
    assert spans.seconds(999) == 11
    assert (spans.seconds_of("a", 999), spans.seconds_of("b", 999)) == (3, 4)


@pytest.mark.parametrize("delays", [(0.0, 5.0), (5.0, 0.0), (0.5, 0.0, 7.0)])
def test_the_promptest_report_says_when_load_began(delays: tuple[float, ...]) -> None:
    spans: LoadSpans[str] = LoadSpans()
    spans.heard("other", 10, 110, is_over=True)
    for second, delay in enumerate(delays):
        spans.heard("a", second, 102 + second + delay)
    spans.heard("a", 10, 112 + 3, is_over=True)
    assert spans.seconds() == 12
