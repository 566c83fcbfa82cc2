"""Which messages are compressed, and that each side reads what the other made."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from posline.sync.deflating import SHORT_BYTES, DiallerDeflate, ListenerDeflate


@pytest.mark.parametrize("size", [0, 1, SHORT_BYTES - 1, SHORT_BYTES, 1000])
def test_short_messages_go_as_they_are_and_all_are_read_by_the_other_side(size: int) -> None:
    said, listener = ListenerDeflate().process_request_params([], [])
    dialler = DiallerDeflate().process_response_params(said, [])
    for sender, receiver in ((listener, dialler), (dialler, listener)):
        frame = Frame(Opcode.BINARY, b"a" * size)
        sent = sender.encode(frame)
        assert sent.rsv1 is (size >= SHORT_BYTES)
        assert len(sent.data) <= size
        assert bytes(receiver.decode(sent).data) == frame.data


def test_pieces_of_a_message_are_compressed_as_one() -> None:
    _, listener = ListenerDeflate().process_request_params([], [])
    _, other = ListenerDeflate().process_request_params([], [])
    pieces = [Frame(Opcode.BINARY, b"ab", fin=False), Frame(Opcode.CONT, b"cd", fin=True)]
    sent = [listener.encode(piece) for piece in pieces]
    assert [piece.rsv1 for piece in sent] == [True, False]
    assert b"".join(bytes(other.decode(piece).data) for piece in sent) == b"abcd"
