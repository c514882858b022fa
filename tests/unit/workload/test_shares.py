"""However a load is divided, every item has exactly one home, and parts have items in proportion."""

from hypothesis import given
from hypothesis import strategies as st

from hyperscale.workload.shares import WHOLE, WHOLE_SIZE, LoadPart

weights = st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any)
divisions = st.recursive(
    weights.map(lambda found: [(weight, None) for weight in found]),
    lambda inner: st.lists(st.tuples(st.integers(0, 50), st.none() | inner), min_size=1, max_size=4).filter(
        lambda found: any(weight for weight, _ in found)
    ),
    max_leaves=12,
)


def leaves(part: LoadPart, division: list[tuple[int, list | None]]) -> list[LoadPart]:  # type: ignore[type-arg]
    parts = part.divide([weight for weight, _ in division])
    return [
        leaf
        for inner, (_, further) in zip(parts, division, strict=True)
        for leaf in ([inner] if further is None else leaves(inner, further))
    ]


@given(divisions, st.integers(0, 3000))
def test_every_item_has_one_home_in_any_nested_division(division: list, last: int) -> None:  # type: ignore[type-arg]
    parts = leaves(WHOLE, division)
    assert sum(part.size for part in parts) == WHOLE_SIZE
    homes = [list(part.items(last)) for part in parts]
    assert sorted(item for items in homes for item in items) == list(range(1, last + 1))
    assert all(items == sorted(items) for items in homes)


@given(st.integers(0, WHOLE_SIZE), st.integers(0, WHOLE_SIZE), st.integers(0, 5000))
def test_items_are_those_that_the_part_contains(one: int, other: int, last: int) -> None:
    part = LoadPart(min(one, other), abs(one - other))
    assert list(part.items(last)) == [item for item in range(1, last + 1) if part.contains(item)]


@given(weights, st.integers(1, 5000))
def test_parts_have_items_in_proportion_at_every_instant(found: list[int], last: int) -> None:
    for weight, part in zip(found, WHOLE.divide(found), strict=True):
        assert abs(sum(1 for _ in part.items(last)) - last * weight / sum(found)) <= 8


@given(divisions, st.integers(0, 10**6))
def test_places_are_divided_exactly(division: list, places: int) -> None:  # type: ignore[type-arg]
    assert sum(part.count_of(places) for part in leaves(WHOLE, division)) == places


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any), st.integers(1, 6))
def test_a_part_divided_by_places_gives_each_its_own(found: list[int], cores: int) -> None:
    for places, part in zip(found, WHOLE.divide(found), strict=True):
        assert part.count_of(sum(found)) == places
        inner = [places // cores + (core < places % cores) for core in range(cores)]
        assert [core.count_of(sum(found)) for core in part.divide(inner)] == inner


def test_a_tiny_part_of_a_long_load_is_found_quickly() -> None:
    part = LoadPart(WHOLE_SIZE // 3, WHOLE_SIZE // 1_000_000)
    assert abs(sum(1 for _ in part.items(10**9)) - 1000) <= 8


def test_the_message_is_the_part() -> None:
    part = WHOLE.divide([1, 2, 4])[1]
    assert LoadPart.of(part.to_proto()) == part
    assert LoadPart.of(None) == WHOLE
