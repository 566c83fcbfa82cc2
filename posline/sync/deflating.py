"""Compression of websocket messages (RFC 7692), without what it costs where it gains nothing.

It starts afresh at each message, which costs 2 % on full segments and saves some 60 kB a connection. Short messages go
as they are, as the RFC lets each message: most that pass on links at rest are one byte, and a fresh compressor for each
took a third of what such a link costs a head office.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode

__all__ = ["SHORT_BYTES", "DiallerDeflate", "ListenerDeflate"]

SHORT_BYTES = 48  # below, hardly anything becomes shorter


class _Deflate(PerMessageDeflate):
    def __init__(self, like: PerMessageDeflate) -> None:
        super().__init__(
            like.remote_no_context_takeover, like.local_no_context_takeover, like.remote_max_window_bits,
            like.local_max_window_bits, like.compress_settings,
        )  # fmt: skip

    def encode(self, frame: Frame) -> Frame:
        """See Extension."""
        if frame.opcode is Opcode.BINARY and frame.fin and len(frame.data) < SHORT_BYTES:
            return frame
        return super().encode(frame)


def _sparing(made: Extension) -> Extension:
    return _Deflate(made) if isinstance(made, PerMessageDeflate) else made


class DiallerDeflate(ClientPerMessageDeflateFactory):
    """What a dialler offers."""

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_response_params(self, params: Sequence[Any], accepted_extensions: Sequence[Any]) -> Any:
        """See ClientExtensionFactory."""
        return _sparing(super().process_response_params(params, accepted_extensions))


class ListenerDeflate(ServerPerMessageDeflateFactory):
    """What a listener agrees to."""

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(self, params: Sequence[Any], accepted_extensions: Sequence[Any]) -> Any:
        """See ServerExtensionFactory."""
        said, made = super().process_request_params(params, accepted_extensions)
        return said, _sparing(made)
