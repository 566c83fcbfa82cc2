"""What a shop sets for its receipts: heading, numbers, footer, logo, languages, paper. The shared setting `receipt`.

Reading what somebody types names each wrong field; reading what came by sync leaves out what is wrong and goes on.
Pure.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from posline.errors import BadRequest, FieldError
from posline.till.receipts.blocks import PAPERS, Paper, clean
from posline.till.receipts.words import LANGUAGES

__all__ = ["ReceiptSettings", "read_settings", "settings_of"]

MAX_LINES = 12  # of a heading or footer
MAX_LOGO_TEXT = 32 * 1024  # base64 characters: the setting is one entry of at most 48 KiB
MAX_LOGO_DOTS = 1200  # along a side: twice the widest print head
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = ("name", "name_ur", "phone", "ntn", "strn", "pos")
_LISTS = ("header", "header_ur", "address", "address_ur", "footer", "footer_ur")


@dataclass(frozen=True, slots=True)
class ReceiptSettings:
    """A shop's receipts. `pos` is its registration with the fiscal service; fields in `_ur` are printed in Urdu,
    where they are given; `logo` is a PNG or empty; the first of `languages` is used where nobody asks for another;
    `proof` prints the QR code that carries the signed sale."""

    name: str = ""
    name_ur: str = ""
    header: tuple[str, ...] = ()
    header_ur: tuple[str, ...] = ()
    address: tuple[str, ...] = ()
    address_ur: tuple[str, ...] = ()
    phone: str = ""
    ntn: str = ""
    strn: str = ""
    pos: str = ""
    footer: tuple[str, ...] = ()
    footer_ur: tuple[str, ...] = ()
    logo: bytes = b""
    languages: tuple[str, ...] = ("en",)
    paper: Paper = PAPERS["80"]
    urdu_font: str = "nastaliq"
    proof: bool = True

    def with_name(self, name: str) -> ReceiptSettings:
        """The same, called after the shop where no name of its own is set."""
        return self if self.name else replace(self, name=clean(name))

    def on(self, paper: Paper) -> ReceiptSettings:
        """The same, on the paper of this printer."""
        return replace(self, paper=paper)


def read_settings(value: object) -> ReceiptSettings:
    """The settings that a person gave. Raises BadRequest, naming each field that is wrong."""
    settings, errors = _parsed(value)
    if errors:
        raise BadRequest(errors)
    return settings


def settings_of(value: object) -> ReceiptSettings:
    """The settings as stored: what is wrong in them counts as not set."""
    return _parsed(value)[0]


def _parsed(value: object) -> tuple[ReceiptSettings, list[FieldError]]:
    if value is None:
        return ReceiptSettings(), []
    if not isinstance(value, Mapping):
        return ReceiptSettings(), [FieldError("receipt", "is no object of settings")]
    errors: list[FieldError] = []
    fields: dict[str, Any] = {}

    def wrong(name: str, detail: str) -> None:
        errors.append(FieldError(f"receipt.{name}", detail))

    for name in _TEXTS:
        if name in value:
            if isinstance(value[name], str) and len(value[name]) <= 200:
                fields[name] = clean(value[name])
            else:
                wrong(name, "a text of at most 200 characters")
    for name in _LISTS:
        if name in value:
            lines = [value[name]] if isinstance(value[name], str) else value[name]
            if (
                isinstance(lines, list | tuple)
                and len(lines) <= MAX_LINES
                and all(isinstance(line, str) and len(line) <= 400 for line in lines)
            ):
                fields[name] = tuple(line for line in map(clean, lines) if line)
            else:
                wrong(name, f"at most {MAX_LINES} lines of at most 400 characters")
    if value.get("logo"):
        logo = _logo(value["logo"])
        if isinstance(logo, bytes):
            fields["logo"] = logo
        else:
            wrong("logo", logo)
    if "languages" in value:
        languages = value["languages"]
        if isinstance(languages, list | tuple) and languages and all(x in LANGUAGES for x in languages):
            fields["languages"] = tuple(dict.fromkeys(languages))
        else:
            wrong("languages", f"one or more of {', '.join(LANGUAGES)}")
    if "paper" in value:
        paper = PAPERS.get(str(value["paper"]))
        if paper is None:
            wrong("paper", f"one of {', '.join(PAPERS)} (mm)")
        else:
            fields["paper"] = paper
    if "urdu_font" in value:
        if value["urdu_font"] in ("nastaliq", "naskh"):
            fields["urdu_font"] = value["urdu_font"]
        else:
            wrong("urdu_font", "nastaliq or naskh")
    if "proof" in value:
        if isinstance(value["proof"], bool):
            fields["proof"] = value["proof"]
        else:
            wrong("proof", "true or false")
    return ReceiptSettings(**fields), errors


def _logo(text: object) -> bytes | str:
    """The PNG that a base64 text is, or what is wrong with it. Its size is read from its head, without unpacking it."""
    if not isinstance(text, str) or len(text) > MAX_LOGO_TEXT:
        return f"a PNG in base64, at most {MAX_LOGO_TEXT} characters: make the picture smaller"
    try:
        png = base64.b64decode(text.removeprefix("data:image/png;base64,"), validate=True)
    except (binascii.Error, ValueError):
        return "no base64"
    if not png.startswith(_PNG) or png[12:16] != b"IHDR" or len(png) < 33:
        return "no PNG"
    width, height = struct.unpack(">II", png[16:24])
    if not (0 < width <= MAX_LOGO_DOTS and 0 < height <= MAX_LOGO_DOTS):
        return f"a PNG of at most {MAX_LOGO_DOTS} x {MAX_LOGO_DOTS} points"
    return png
