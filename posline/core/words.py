"""Texts as a search compares them: letters and digits only, without case, accents or variants of a letter. No I/O.

Both sides of a comparison go through here, so what a rule below takes away is taken away from both. A change here needs
another `WORDS_VERSION`: indexes that were made with the rules before it are made again.
"""

from __future__ import annotations

import unicodedata

__all__ = ["WORDS_VERSION", "fold"]

WORDS_VERSION = 2

# Keyboards for Arabic and Urdu write some letters with different characters that look the same on a receipt.
_SAME = {
    "ي": "ی", "ى": "ی", "ے": "ے", "ك": "ک", "ە": "ہ", "ه": "ہ", "ة": "ہ", "ۃ": "ہ", "ۂ": "ہ", "ھ": "ہ",
    "ـ": "", "'": "", "’": "", "‘": "", "ʼ": "", "`": "", "´": "",
}  # fmt: skip
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)} | {39: "", 96: ""}


class _Letters(dict[int, str]):
    """What each character becomes, worked out when it is first met; there are a few thousand at the most."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        found = _SAME.get(character)
        if found is None:
            kind = unicodedata.category(character)
            if kind == "Nd":
                found = str(unicodedata.decimal(character))  # ۱۲ is typed as 12, too
            elif kind[0] in "LN" or kind == "Mc":
                found = character
            else:
                found = "" if kind in ("Mn", "Me", "Cf") else " "
        self[code] = found
        return found


_LETTERS = _Letters(_ASCII)


def fold(text: str) -> str:
    """The words of a text with one blank between them, "" for none: "Kellogg's 1.5 kg" is "kelloggs 1 5 kg"."""
    if text.isascii():
        return " ".join(text.translate(_ASCII).split())
    plain = text
    for _ in range(2):  # a letter taken apart may be a capital: the sign for kiloohm is a k and a capital omega
        plain = unicodedata.normalize("NFKD", plain.casefold())
    return " ".join(plain.translate(_LETTERS).split())
