"""How inputs are spoilt: bytes, texts, and JSON as a tree, with what strict readers must tell apart.

A tree keeps what an ordinary parser loses: keys that stand twice, numbers as they are written, and halves of
characters. Everything is drawn from the `random.Random` that is handed in, so a seed replays it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

__all__ = ["EDGES", "Pairs", "Raw", "dump", "pack", "spoil", "tree", "twist", "twist_text", "unpack", "value", "varint"]

EDGES = (
    0,
    1,
    2,
    3,
    10,
    99,
    100,
    127,
    128,
    255,
    256,
    257,
    500,
    501,
    1000,
    16_383,
    16_384,
    65_535,
    65_536,
    10**6,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    10**12,
    10**12 + 1,
    2**53 - 1,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    10**30,
)
TEXTS = (
    "",
    " ",
    "\x00",
    "\x7f",
    "\n",
    "\u2028",
    "\ufeff",
    "\u202e",
    "a",
    "A",
    "0",
    "-1",
    "1",
    "1.0",
    "1.5",
    "0.001",
    "0.0005",
    "1e5",
    "1E400",
    "NaN",
    "Infinity",
    "-0",
    "00",
    "000000001" + "9" * 30,
    "9" * 17,
    "9" * 400,
    "9" * 5000,
    "١٢٣",
    "²",
    "Ⅷ",
    "x" * 200,
    "x" * 201,
    "x" * 500,
    "é" * 200,
    "شاپ",
    "👍🏽",
    "🇵🇰" * 60,
    "e\u0301",
    "null",
    "true",
    "cash",
    "card",
    "account",
    "sale",
    "refund",
    "2026-11-23",
    "2026-02-31",
    "2100-12-31",
    "1999-01-01",
    "2026-11-23T12:00:00.000+05:00",
    "../../etc",
    "=1+1",
    "'",
    '"',
    "\\",
    "%00",
    "%s",
    "{}",
    "[]",
    "a" * 26,
    "z" * 26,
    "A-1-0000",
    "R-0000000000",
    "00000000-0000-4000-8000-000000000000",
    "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF",
    "f" * 64,
    "0" * 24,
    "https://x.y/",
    "127.0.0.1:1",
    "[::1]:80",
    "::1",
    "America",
    "Asia/Karachi",
    "/etc/passwd",
    "scrypt$AAAA$AAAA",
    "\ud800",
    "a\udfff",
)
NUMERALS = (
    "1.0",
    "1.5",
    "1e2",
    "1E400",
    "-0",
    "-0.0",
    "NaN",
    "-Infinity",
    "9" * 30,
    "0.1",
    "1e-400",
    "9007199254740993",
)


class Pairs(list[tuple[str, Any]]):
    """An object as it is written: its keys in order, and twice where they stand twice."""


class Raw(str):
    """A number, or anything else, as it is written."""


def spoil(data: bytes, rng: Random, *others: bytes) -> bytes:
    """A few changes of bytes: flipped, put in, left out, said again, cut off, or taken from another input."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.choice((1, 1, 2, 4, 8, 26)))
        how = rng.randrange(8)
        if how == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 8, 0x28, 0x77, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif how == 2:
            out[at:at] = rng.choice(
                (b"\0", b"\xff", b"\x80\0", rng.randbytes(rng.randrange(1, 9)), varint(rng.choice(EDGES)))
            )
        elif how == 3:
            del out[at:end]
        elif how == 4:
            out[at:at] = out[at:end]
        elif how == 5:
            del out[at:]
        elif how == 6 and others:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            out[at:end] = other[begin : begin + rng.randrange(1, 65)]
        else:
            out[at:end] = varint(rng.choice(EDGES))
    return bytes(out)


def varint(number: int, pad: int = 0) -> bytes:
    """LEB128, with `pad` bytes that say nothing behind it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    for _ in range(pad):
        out[-1] |= 128
        out.append(0)
    return bytes(out)


def twist_text(text: str, rng: Random) -> str:
    """A text that is a little, or altogether, another one."""
    how, at = rng.randrange(8), rng.randrange(len(text) + 1)
    if how == 0:
        return rng.choice(TEXTS)
    if how == 1:
        return text[:at] + rng.choice(TEXTS)[:40] + text[at:]
    if how == 2:
        return text[:at] + text[at + rng.randrange(1, 4) :]
    if how == 3:
        return text + text[at:]
    if how == 4:
        return text.swapcase()
    if how == 5 and text:
        return (
            text[:at]
            + chr(rng.choice((0, 9, 10, 32, 0x30 + rng.randrange(10), 0x7F, 0x660, 0xFEFF, 0x1F600)))
            + text[at + 1 :]
        )
    if how == 6:
        return "".join(str(rng.randrange(10)) if c.isdigit() else c for c in text)
    return text * rng.choice((0, 2, 3))


def tree(data: bytes | str) -> Any:
    """JSON as a tree that `dump` writes back; raises ValueError where it is none."""
    return json.loads(data, object_pairs_hook=Pairs, parse_float=Raw, parse_constant=Raw)


def dump(tree: Any, rng: Random | None = None) -> bytes:
    """A tree as bytes. With `rng` blanks and escapes are written this way or that."""
    out: list[str] = []
    _write(tree, out, rng)
    return "".join(out).encode("utf-8", "surrogatepass")


def _write(tree: Any, out: list[str], rng: Random | None) -> None:
    if isinstance(tree, Raw):
        out.append(tree)
    elif isinstance(tree, str):
        plain = rng is None or rng.random() < 0.9
        # halves of characters are escaped, or now and then written as bytes that are no UTF-8
        half = any(0xD800 <= ord(c) <= 0xDFFF for c in tree) and (rng is None or rng.random() < 0.9)
        out.append(json.dumps(tree, ensure_ascii=half or not plain))
    elif isinstance(tree, Pairs | dict):
        out.append("{")
        for index, (name, item) in enumerate(tree.items() if isinstance(tree, dict) else tree):
            out.append("," if index else "")
            _write(name, out, None)
            out.append(":" if rng is None or rng.random() < 0.98 else " : ")
            _write(item, out, rng)
        out.append("}")
    elif isinstance(tree, list | tuple):
        out.append("[")
        for index, item in enumerate(tree):
            out.append("," if index else "")
            _write(item, out, rng)
        out.append("]")
    else:
        out.append(json.dumps(tree))


def value(rng: Random, depth: int = 2) -> Any:
    """Anything that JSON can say, and some that it can't."""
    how = rng.randrange(9 if depth else 7)
    if how == 0:
        return rng.choice(EDGES) * rng.choice((1, 1, -1))
    if how == 1:
        return rng.choice((None, True, False))
    if how == 2:
        return Raw(rng.choice(NUMERALS))
    if how in (3, 4):
        return rng.choice(TEXTS)
    if how == 5:
        return rng.randrange(-3, 300)
    if how == 6:
        deep: Any = []
        for _ in range(rng.choice((1, 3, 8, 14, 15, 16, 17, 18, 60))):
            deep = [deep] if rng.random() < 0.5 else Pairs([("a", deep)])
        return deep
    if how == 7:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return Pairs((rng.choice(TEXTS)[:50], value(rng, depth - 1)) for _ in range(rng.randrange(4)))


def twist(found: Any, rng: Random) -> Any:
    """A tree with one thing in it changed, somewhere."""
    if isinstance(found, dict):
        found = Pairs(found.items())
    if isinstance(found, Pairs) and found and rng.random() < 0.88:
        at = rng.randrange(len(found))
        name, item = found[at]
        how = rng.randrange(14)
        made = Pairs(found)
        if how == 0:
            del made[at]
        elif how == 1:
            made.insert(rng.randrange(len(made) + 1), (name, item if rng.random() < 0.5 else value(rng)))
        elif how == 2:
            made[at] = (twist_text(name, rng), item)
        elif how == 3:
            made.append((rng.choice(TEXTS)[:60], value(rng)))
        elif how == 4:
            rng.shuffle(made)
        elif how == 5:
            made[at] = (name, rng.choice(found)[1])
        else:
            made[at] = (name, twist(item, rng))
        return made
    if isinstance(found, list) and not isinstance(found, Pairs) and found and rng.random() < 0.88:
        at = rng.randrange(len(found))
        items = list(found)
        how = rng.randrange(10)
        if how == 0:
            del items[at]
        elif how == 1:
            items.insert(rng.randrange(len(items) + 1), items[at])
        elif how == 2:
            items.append(value(rng))
        elif how == 3:
            items = items * (rng.choice((0, 2, 30, 300)) if len(str(items)) < 200 else 2)
        elif how == 4:
            rng.shuffle(items)
        else:
            items[at] = twist(items[at], rng)
        return items[:600]
    if isinstance(found, bool) or found is None:
        return value(rng)
    if isinstance(found, int) and rng.random() < 0.7:
        return rng.choice(
            (
                found + 1,
                found - 1,
                -found,
                found * 10,
                found + rng.choice(EDGES),
                rng.choice(EDGES),
                -rng.choice(EDGES),
                found // 2,
                Raw(f"{found}.0"),
                Raw(f"{found}e0"),
                str(found),
                bool(found),
            )
        )
    if isinstance(found, str) and not isinstance(found, Raw) and rng.random() < 0.8:
        return twist_text(found, rng)
    return value(rng)


def pack(parts: Sequence[bytes]) -> bytes:
    """Several inputs as one."""
    return b"".join(len(part).to_bytes(3, "big") + part for part in parts)


def unpack(data: bytes) -> list[bytes]:
    """The parts of `pack`; what is no such thing is one part, or its last."""
    parts: list[bytes] = []
    at = 0
    while at + 3 <= len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        if at + 3 + size > len(data):
            break
        parts.append(data[at + 3 : at + 3 + size])
        at += 3 + size
    if at < len(data):
        parts.append(data[at:])
    return parts
