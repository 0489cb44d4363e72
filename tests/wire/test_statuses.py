"""The claims of twistcorn.wire.statuses: every method and status has its place in a table, and none is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twistcorn.wire.statuses import (
    CLASSES,
    CODES,
    COLUMNS,
    METHODS,
    OTHER_ROW,
    ROWS,
    SIZE,
    WIDTH,
    classes,
    name,
)


def test_every_method_has_its_own_row() -> None:
    """Rows lie behind each other and fill the table."""
    assert sorted(ROWS.values()) == list(range(0, SIZE, WIDTH))
    assert (len(METHODS), OTHER_ROW) == (8, SIZE - WIDTH)


def test_every_status_has_a_column() -> None:
    """Known codes have their own, the others that of their class; the first is for no answer."""
    assert {COLUMNS[code] for code in CODES} == set(range(len(CLASSES), WIDTH))
    assert [COLUMNS[code] for code in (100, 299, 399, 418, 599)] == [1, 2, 3, 4, 5]
    assert [name(COLUMNS[code]) for code in (404, 418)] == ["404", "4xx"]


@given(st.lists(st.sampled_from(sorted(COLUMNS)), max_size=50))
def test_classes(codes: list[int]) -> None:
    """Each request is counted in the class of its status."""
    row = [0] * WIDTH
    for code in codes:
        row[COLUMNS[code]] += 1
    assert classes(row) == [0, *(sum(code // 100 == each for code in codes) for each in range(1, 6))]
