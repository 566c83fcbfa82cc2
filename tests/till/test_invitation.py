"""Invitations: the links, and the one-time tokens behind them."""

from __future__ import annotations

import pytest

from posline.errors import BadRequest
from posline.till.invitation import TRIES_MAX, Invitation, InvitationRefused, Invitations, parse_duration
from posline.trust.gate import token_hash

PIN = "x" * 43


class Watch:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_link_reads_back_and_names_what_it_is_for() -> None:
    link = Invitation("join", ("127.0.0.1:8701",), "abc", "to-ken_1")
    assert str(link) == "posline://127.0.0.1:8701/join?shop=abc#to-ken_1"
    assert Invitation.parse(f" {link}\n", "join") == link
    assert link.urls == ["ws://127.0.0.1:8701/join"] and link.sync_url(link.urls[0]) == "ws://127.0.0.1:8701/sync"
    secure = Invitation("attach", ("office.example:443", "[fd00::7]:8800"), "xyz", "t", PIN)
    assert Invitation.parse(str(secure), "attach") == secure
    assert secure.urls == ["wss://office.example:443/attach", "wss://[fd00::7]:8800/attach"]
    assert secure.sync_url(secure.urls[1]) == "wss://[fd00::7]:8800/sync"
    with pytest.raises(BadRequest, match="posline attach"):
        Invitation.parse(str(secure), "join")


@pytest.mark.parametrize(
    "text",
    ["", "posline://", f"posline://10.0.0.1:1/join?shop=a&pin={PIN[:-1]}#t", "posline://10.0.0.1:1/join?shop=a#t",
     "posline://127.0.0.1:1/join?shop=a&at=10.0.0.1:1#t", "http://127.0.0.1:1/join?shop=a#t",
     "posline://127.0.0.1:1/join?shop=a", "posline://h:x/join?shop=a#t", "posline://127.0.0.1:1/join#t",
     "posline://[::1/join?shop=a#t", f"posline://h:1/join?shop=a&pin={PIN}&at=h#t",
     f"posline://h:1/join?shop=a&pin={PIN}&at=[::1#t", f"posline://h:1/join?shop=a&pin={PIN}&at=h:1/other#t",
     f"posline://me@h:1/join?shop=a&pin={PIN}#t", f"posline://h:1/join?shop=a&pin={PIN}&at=h:99999#t"],
)  # fmt: skip
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        Invitation.parse(text, "join")


def test_a_token_opens_once_and_the_same_taker_may_ask_again() -> None:
    watch = Watch()
    invitations = Invitations(watch)
    token = invitations.add(note="north")
    assert invitations.take(token, "b") == "north"
    assert invitations.take(token, "b") == "north", "the answer may have been lost"
    with pytest.raises(InvitationRefused, match="used already"):
        invitations.take(token, "c")


def test_a_token_expires_by_the_monotonic_clock() -> None:
    watch = Watch()
    invitations = Invitations(watch)
    token = invitations.add(expires_s=60)
    watch.now_s += 61
    with pytest.raises(InvitationRefused, match="expired"):
        invitations.take(token, "b")


def test_wrong_tries_end_every_open_invitation() -> None:
    invitations = Invitations(Watch())
    token = invitations.add()
    for _ in range(TRIES_MAX):
        with pytest.raises(InvitationRefused):
            invitations.take("guess", "b")
    with pytest.raises(InvitationRefused):
        invitations.take(token, "b")


def test_an_invitation_of_another_process_is_held_by_its_hash() -> None:
    invitations = Invitations(Watch())
    invitations.hold(token_hash("secret"), expires_s=60, note="n")
    invitations.hold(token_hash("late"), expires_s=-1)
    invitations.hold(token_hash("for ever"), expires_s=1e9)
    assert invitations.take("secret", "b") == "n"
    for token in ("late", "for ever"):
        with pytest.raises(InvitationRefused):
            invitations.take(token, "b")


def test_durations() -> None:
    assert [parse_duration(t) for t in ("90", "90s", "15m", "2h", "1d")] == [90, 90, 900, 7200, 86400]
    for text in ("", "m", "-5m", "1.5h", "0", "8d", "9" * 30, "0" * 8 + "9" * 30, "0" * 5000 + "1"):
        with pytest.raises(BadRequest):
            parse_duration(text)
