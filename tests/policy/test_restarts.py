"""The claims of twistcorn.policy.restarts, as tables; time is a number."""

from __future__ import annotations

import pytest

from twistcorn.policy.restarts import BackOff, Intensity

#: (failed boots since a worker got ready, wait while others serve, wait while nobody does)
WAITS = [
    (0, 0.0, 0.0),
    (1, 0.5, 0.5),
    (2, 1.0, 1.0),
    (3, 2.0, 1.0),
    (4, 4.0, 1.0),
    (5, 8.0, 1.0),
    (6, 16.0, 1.0),
    (7, 30.0, 1.0),
    (8, 30.0, 1.0),
    (1_000_000, 30.0, 1.0),
]


def told(intensity: Intensity, times: list[float]) -> list[bool]:
    """What each of these moments is answered."""
    answers = []
    for now in times:
        intensity, exceeded = intensity.add_death(now)
        answers.append(exceeded)
    return answers


class TestBackOff:
    @pytest.mark.parametrize(("failures", "served", "unserved"), WAITS)
    def test_waits_double_up_to_a_ceiling(self, failures: int, served: float, unserved: float) -> None:
        """The wait doubles to 30 s while other workers serve, and to 1 s while nobody is served."""
        back_off = BackOff(failures)

        assert (back_off.delay(any_ready=True), back_off.delay(any_ready=False)) == (served, unserved)

    def test_worker_that_was_ready_dies(self) -> None:
        """A pool whose boots succeed respawns at once."""
        assert BackOff().got_ready().delay(any_ready=True) == 0.0

    def test_boots_fail_one_after_the_other(self) -> None:
        """Each death before ready lengthens the wait."""
        back_off = BackOff().died_before_ready().died_before_ready().died_before_ready()

        assert back_off == BackOff(3)

    def test_worker_gets_ready_between_two_failed_boots(self) -> None:
        """Failures from before a worker got ready do not count."""
        back_off = BackOff().died_before_ready().died_before_ready().got_ready().died_before_ready()

        assert back_off == BackOff(1)

    def test_value_is_kept(self) -> None:
        """A change makes a new value; the old one stays what it was."""
        back_off = BackOff(2)
        back_off.died_before_ready()
        back_off.got_ready()

        assert back_off == BackOff(2)


class TestIntensity:
    def test_deaths_within_the_limit(self) -> None:
        """As many as the limit within the period are nothing to speak of."""
        assert told(Intensity(period=10, limit=3), [0, 1, 2]) == [False, False, False]

    def test_one_death_over_the_limit(self) -> None:
        """One more than the limit within the period is told."""
        assert told(Intensity(period=10, limit=3), [0, 1, 2, 3]) == [False, False, False, True]

    def test_deaths_further_apart_than_the_period(self) -> None:
        """What lies longer back than the period does not count."""
        assert told(Intensity(period=10, limit=1), [0, 11, 22, 33]) == [False] * 4

    def test_death_exactly_a_period_ago(self) -> None:
        """The end of the period belongs to it, as in OTP."""
        assert told(Intensity(period=10, limit=1), [0, 10]) == [False, True]

    def test_crash_loop(self) -> None:
        """A loop of a death a second is told once per period."""
        answers = told(Intensity(period=10, limit=3), [float(now) for now in range(30)])

        assert [now for now, exceeded in enumerate(answers) if exceeded] == [3, 14, 25]

    def test_crash_loop_is_remembered_in_little(self) -> None:
        """The record holds no more moments than the limit needs, however many there were."""
        intensity = Intensity(period=10, limit=3)
        for now in range(1000):
            intensity, _ = intensity.add_death(now / 1000)

        assert intensity.times == (0.999, 0.998, 0.997, 0.996)

    def test_clock_set_back_after_a_warning(self) -> None:
        """A warning that seems to lie in the future silences nothing."""
        assert told(Intensity(period=10, limit=1), [1000, 1001, 5, 6]) == [False, True, True, False]
