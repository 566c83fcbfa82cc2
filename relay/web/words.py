"""Words, numbers, amounts and times of the pages, in the language of whoever looks. The words themselves are in texts/,
one table a language; how numbers and times are written is the Unicode CLDR's, by Babel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal, format_percent

from posline.core.money import minor_digits
from posline.errors import BadRequest, PoslineError
from relay.office import CONSOLE, SHOP_ACTOR
from relay.web.texts import board_en, board_ur, en, ur

__all__ = ["LANGUAGES", "TEXTS", "Texts", "Words", "chosen", "zone_of"]

Text = str | Mapping[str, str]  # a text, or its forms by number
Texts = Mapping[str, Text]
TEXTS: Mapping[str, Texts] = {"en": {**en.TEXTS, **board_en.TEXTS}, "ur": {**ur.TEXTS, **board_ur.TEXTS}}
LANGUAGES: Final = {"en": "English", "ur": "اردو"}  # each by its own name
LOCALES = {"en": Locale.parse("en_PK"), "ur": Locale.parse("ur_PK")}
APART, TOGETHER = "\u2068", "\u2069"  # around a name in a sentence, which may be of the other direction
DAY, TIME = "d MMM y", "HH:mm"
COMMAS = {"en": ", ", "ur": "، "}


class Words:
    """How things are said in one language, with times as in `zone`."""

    def __init__(self, language: str, zone: tzinfo) -> None:
        self.language = language if language in TEXTS else "en"
        self.direction = "rtl" if self.language == "ur" else "ltr"
        self.zone, self._locale = zone, LOCALES[self.language]
        self.comma = COMMAS[self.language]

    def t(self, key: str, /, **values: Any) -> str:
        """The text called `key`, with {name} filled in; of one that has forms by number, the one for `n`."""
        found = TEXTS[self.language][key]
        if not isinstance(found, str):
            found = found.get(self._locale.plural_form(values["n"])) or found["other"]
        return found.format_map({name: self._shown(value) for name, value in values.items()}) if values else found

    def _shown(self, value: Any) -> str:
        if isinstance(value, int):
            return self.number(value)
        text = str(value)
        return text if text.isascii() and self.direction == "ltr" else f"{APART}{text}{TOGETHER}"

    def who(self, actor: str) -> str:
        """Whoever did something. A person's name is their own; a shop, and whoever typed a command, are said to be
        that."""
        if actor.startswith(SHOP_ACTOR):
            return self.t("who_shop", name=actor.removeprefix(SHOP_ACTOR))
        if actor.startswith(CONSOLE.name):
            return self.t("who_console") + actor.removeprefix(CONSOLE.name)
        return actor or self.t("somebody")

    @staticmethod
    def has(key: str) -> bool:
        """Whether there is a text called `key`."""
        return key in TEXTS["en"]

    def told(self, error: PoslineError) -> str | None:
        """What went wrong, in this language; None where only the error's own English says it."""
        key = f"error_{getattr(error, 'word', '')}"
        if isinstance(error, BadRequest) and error.errors:
            key = f"error_bad_{error.errors[0].field}"
        if not self.has(key):
            return None
        wait_s = getattr(error, "wait_s", 0)
        return self.t(key, n=wait_s) if wait_s else self.t(key)

    def number(self, n: int | float) -> str:
        """A number, in its groups."""
        return format_decimal(n, locale=self._locale)

    def money(self, minor: int, currency: str) -> str:
        """An amount in minor units: Rs 1,234.50, and Rs 1,234 where it is whole."""
        if not currency:
            return self.number(minor)
        digits = minor_digits(currency)
        shown = "0" * (digits if minor % 10**digits else 0)
        pattern = f"¤ #,##0.{shown};-¤ #,##0.{shown}" if shown else "¤ #,##0;-¤ #,##0"
        amount = Decimal(minor).scaleb(-digits)
        return format_currency(amount, currency, pattern, locale=self._locale, currency_digits=False)

    def moment(self, ms: int) -> str:
        """A day and a time, from milliseconds since 1970."""
        pattern = f"{DAY}{self.comma}{TIME}"
        return format_datetime(datetime.fromtimestamp(ms / 1000, self.zone), pattern, locale=self._locale)

    def day(self, day: str) -> str:
        """A day, from YYYY-MM-DD."""
        return format_date(date.fromisoformat(day), DAY, locale=self._locale)

    def clock(self, ms: int) -> str:
        """The time of the day, from milliseconds since 1970."""
        return format_datetime(datetime.fromtimestamp(ms / 1000, self.zone), TIME, locale=self._locale)

    def hour(self, hour: int) -> str:
        """An hour of the clock."""
        return format_time(time(hour), "HH", locale=self._locale)

    def short_day(self, day: str) -> str:
        """A day of this month or the last, from YYYY-MM-DD."""
        return format_date(date.fromisoformat(day), "d MMM", locale=self._locale)

    def weekday(self, day: str) -> str:
        """A day with its name, from YYYY-MM-DD."""
        return format_date(date.fromisoformat(day), "EEE d MMM", locale=self._locale)

    def percent(self, share: float) -> str:
        """How much more, or less: +12%."""
        sign = "+" if share > 0 else ""
        return sign + format_percent(round(share, 2), "#,##0%", locale=self._locale)

    def iso(self, ms: int) -> str:
        """For machines that read the page."""
        return datetime.fromtimestamp(ms / 1000, self.zone).isoformat(timespec="seconds")


def chosen(*wishes: str, accepts: str = "") -> str:
    """The first language of `wishes` that there is; else the first of what a browser `accepts`."""
    named = [part.partition(";")[0].strip().partition("-")[0].lower() for part in accepts.split(",")]
    return next((wish for wish in (*wishes, *named) if wish in TEXTS), "en")


@cache
def zone_of(name: str) -> tzinfo | None:
    """A time zone by name; None for one that this machine does not know."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None
