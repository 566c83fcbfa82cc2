"""When this version was made: no clock before it is believed. Moved forward with each release."""

__all__ = ["BUILD_MS"]

BUILD_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z, milliseconds since 1970
