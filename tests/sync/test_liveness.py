"""How long silence lasts before a link asks, and before it is given up."""

from __future__ import annotations

import pytest

from posline.sync.liveness import INTERNET, LAN, STOCK, Liveness, Pace


@pytest.mark.parametrize(("pace", "asks", "dies"), [(LAN, 0.6, 2.0), (INTERNET, 3.0, 10.0), (STOCK, 10.0, 60.0)])
def test_what_waits_for_an_answer_asks_soon(pace: Pace, asks: float, dies: float) -> None:
    one = Liveness(pace, 0.0)
    one.waits(True, 0.0)
    assert not one.ask(asks - 0.01) and one.ask(asks) and not one.ask(asks + 0.01)
    assert not one.dead(dies - 0.01) and one.dead(dies)


def test_a_link_at_rest_to_a_head_office_asks_seldom_and_hurries_once_it_waits() -> None:
    one = Liveness(INTERNET, 0.0)
    one.waits(False, 0.0)
    assert not one.ask(5.9) and one.ask(6.0)
    assert not one.dead(9.9) and one.dead(10.0)
    one.heard(30.0)
    one.waits(True, 35.0)  # nothing was said for five seconds, and nothing was asked
    assert one.ask(35.0) and not one.dead(44.9) and one.dead(45.0)


def test_of_the_two_ends_the_one_that_dialled_asks() -> None:
    asker, listener = Liveness(LAN, 0.0), Liveness(LAN, 0.0, dialling=False)
    assert asker.ask(0.6) and not listener.ask(0.7)


def test_time_in_which_nobody_looked_is_no_silence() -> None:
    one = Liveness(LAN, 0.0)
    one.stood_still(600.0, 600.0)
    assert not one.dead(601.0) and one.dead(602.0)
    far = Liveness(INTERNET, 0.0)
    far.waits(False, 0.0)
    far.waits(True, 25.0)  # something was said, and then nobody looked: the answer waits in the socket
    far.stood_still(20.0, 46.0)
    assert not far.dead(46.0) and not far.dead(54.9) and far.dead(56.0)
    late = Liveness(LAN, 600.0)
    late.stood_still(600.0, 600.0)  # it began behind that
    assert late.dead(602.0)


def test_it_says_when_to_look_again() -> None:
    one = Liveness(LAN, 5.0)
    assert one.due == pytest.approx(5.6)
    for _ in range(3):
        assert one.ask(one.due + 0.001)
    assert one.due == pytest.approx(7.0)
