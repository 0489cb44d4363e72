"""The claims of twistcorn.policy.quarantine: who is found to kill workers, who is told of, and who is kept out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.quarantine import PERIOD_SECONDS, SENTENCE_SECONDS, Quarantine

A, B, C = "GET /a", "GET /b", "POST /c"


def died(*deaths: str, after: int = 0) -> tuple[Quarantine, dict[str, int]]:
    """The record after some deaths, a second apart, each with the names that were there, and who is told of last."""
    record, told = Quarantine(), dict[str, int]()
    for second, names in enumerate(deaths):
        record, told = record.add_deaths(float(second), names.split(", "), after)
    return record, told


#: situation: deaths, the last one at the end; quarantine after so many -> who is told of at the last, who is kept out
CASES: list[tuple[str, list[str], int, dict[str, int], set[str]]] = [
    ("one death", [A], 0, {}, set()),
    ("a second one by the same: an alert", [A, A], 0, {A: 2}, set()),
    ("and each further one", [A, A, A], 0, {A: 3}, set()),
    ("never quarantine, unless it is asked for", [A] * 20, 0, {A: 20}, set()),
    ("quarantine at the first death", [A], 1, {A: 1}, {A}),
    ("not enough for quarantine, but for an alert", [A, A], 3, {A: 2}, set()),
    ("enough for quarantine", [A, A, A], 3, {A: 3}, {A}),
    ("two who kill: each has its own number", [A, B, A], 0, {A: 2}, set()),
    ("a death of another is no news of the first", [A, A, B], 0, {}, set()),
    ("a death of another brings nobody else in", [A, A, B], 2, {}, {A}),
    ("company that changes: what is left is suspected", [f"{A}, {B}", f"{A}, {C}"], 0, {A: 2}, set()),
    ("company that changes, often enough", [f"{A}, {B}", f"{A}, {C}"], 2, {A: 2}, {A}),
    ("company that stays: nobody is suspected", [f"{A}, {B}"] * 5, 2, {}, set()),
    ("nobody was there each time", [f"{A}, {B}", f"{B}, {C}", f"{A}, {C}"], 0, {}, set()),
    ("who is known explains the deaths that it was at", [A, f"{A}, {B}", f"{B}, {C}"], 2, {}, set()),
    ("the same request twice at once is one", [f"{A}, {A}", f"{A}, {A}"], 2, {A: 2}, {A}),
]


@pytest.mark.parametrize(
    ("situation", "deaths", "after", "told", "out"), CASES, ids=[case[0] for case in CASES]
)
def test_deaths(situation: str, deaths: list[str], after: int, told: dict[str, int], out: set[str]) -> None:
    """Told of are those that the last death is laid to, kept out those with enough of them."""
    record, news = died(*deaths, after=after)

    assert news == told
    assert record.quarantined(float(len(deaths))).keys() == out


class TestTime:
    def test_deaths_are_long_ago(self) -> None:
        """They count no longer."""
        record, _ = Quarantine().add_deaths(0.0, [A], 2)
        record, told = record.add_deaths(PERIOD_SECONDS + 1, [A], 2)

        assert (told, record.quarantined(PERIOD_SECONDS + 1)) == ({}, {})

    def test_deaths_are_within_the_period(self) -> None:
        """They count until its end."""
        record, _ = Quarantine().add_deaths(0.0, [A], 2)
        record, told = record.add_deaths(PERIOD_SECONDS, [A], 2)

        assert told == {A: 2}

    def test_sentence_passes(self) -> None:
        """It gets shorter, and ends by itself."""
        record, _ = died(A, after=1)

        assert record.quarantined(0.0) == {A: SENTENCE_SECONDS}
        assert record.quarantined(SENTENCE_SECONDS - 1) == {A: 1.0}
        assert record.quarantined(SENTENCE_SECONDS) == {}

    def test_it_kills_again(self) -> None:
        """After its sentence, the next one begins anew; and nobody else's grows with it."""
        record, _ = Quarantine().add_deaths(0.0, [A], 1)
        record, _ = record.add_deaths(10.0, [B], 1)
        record, _ = record.add_deaths(20.0, [B], 1)

        assert record.quarantined(20.0) == {A: SENTENCE_SECONDS - 20, B: SENTENCE_SECONDS}

    @given(st.lists(st.floats(0, 30), max_size=40))
    def test_deaths_go_on_for_ever(self, gaps: list[float]) -> None:
        """What is long ago is forgotten: the record does not grow."""
        record, now = Quarantine(), 0.0
        for gap in gaps:
            now += gap
            record, _ = record.add_deaths(now, [f"GET /{now}"], 1)

        assert all(now - kill.at <= PERIOD_SECONDS for kill in record.kills)
        assert all(end > now for _, end in record.until)


class TestSuspects:
    def test_it_has_killed_before(self) -> None:
        """It is suspected where it is among others."""
        record, _ = died(A)

        assert record.suspects([A, B], 1.0) == {A}

    def test_it_was_left_by_changing_company(self) -> None:
        """It is suspected as well."""
        record, _ = died(f"{A}, {B}", f"{A}, {C}")

        assert record.suspects([A, B, C], 2.0) == {A}

    def test_nothing_is_clear(self) -> None:
        """Nobody is suspected."""
        record, _ = died(f"{A}, {B}")

        assert record.suspects([A, B], 1.0) == frozenset()

    def test_it_is_long_ago(self) -> None:
        """Nobody is suspected any more."""
        record, _ = died(A)

        assert record.suspects([A], PERIOD_SECONDS + 1) == frozenset()
