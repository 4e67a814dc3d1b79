"""Emails keep their share of a busy process, and no more."""

from dataclasses import dataclass

import pytest

from webapp.delivery.pace import Share

WORK = 0.001


@dataclass
class Clock:
    """A clock that stands still until it is told how much time has passed."""

    moment: float = 0.0

    def __call__(self) -> float:
        return self.moment

    def passes(self, seconds: float) -> None:
        self.moment += seconds


@pytest.mark.parametrize("late", [0.0, 0.003, 0.02, 0.09], ids=lambda late: f"{1000 * late:.0f} ms late")
@pytest.mark.parametrize("part", [0.2, 0.5])
def test_work_gets_its_share_however_late_a_rest_ends(part: float, late: float) -> None:
    clock = Clock()
    share, done = Share(part, clock), 0

    while clock.moment < 20:
        clock.passes(WORK)
        done += 1
        if rest := share.rest_after(WORK):
            clock.passes(rest + late)

    assert done * WORK / clock.moment == pytest.approx(part, rel=0.05)


def test_a_quiet_hour_saves_up_no_more_than_a_moment_of_work() -> None:
    clock = Clock()
    share = Share(0.2, clock)
    clock.passes(3600)

    begun = clock.moment
    while not share.rest_after(WORK):
        clock.passes(WORK)

    assert clock.moment - begun < 0.2


def test_work_that_took_long_once_is_not_paid_for_at_length() -> None:
    """The first email compiles its templates: the second must not wait for that five times over."""
    assert Share(0.2, Clock()).rest_after(3.0) <= 0.3
