"""The claims of twistcorn.policy.abilities: what follows where the kernel cannot do something."""

from __future__ import annotations

import itertools

import pytest

from twistcorn.policy.abilities import ESSENTIAL, Ability, Judgement, judge


def test_nothing_is_missing() -> None:
    """Nothing is said."""
    assert judge([]) == Judgement("", "", True)


@pytest.mark.parametrize("ability", ESSENTIAL)
def test_essential_one_is_missing(ability: Ability) -> None:
    """The server does not start, and says in one line what it is that the kernel cannot do."""
    judgement = judge([ability])
    assert judgement.refusal == f"this kernel cannot {ability.value}, which twistcorn requires"


@pytest.mark.parametrize("ability", [each for each in Ability if each not in ESSENTIAL])
def test_another_one_is_missing(ability: Ability) -> None:
    """The server starts, and says in one line what does not work; without counts nothing runs again."""
    judgement = judge([ability])
    assert judgement.refusal == ""
    assert judgement.warning.startswith(f"this kernel cannot {ability.value}: ")
    assert judgement.counts is (ability is Ability.RESET)


def test_whatever_is_missing() -> None:
    """It is one line, and never both a refusal and a warning; counts are never trusted that are not there."""
    for size in range(len(Ability) + 1):
        for missing in itertools.combinations(Ability, size):
            found = judge(missing)
            assert "\n" not in found.refusal + found.warning
            assert not (found.refusal and found.warning)
            assert bool(found.refusal or found.warning) is bool(missing)
            assert not (found.counts and {Ability.COUNTS, Ability.UNREAD} & set(missing))
