"""Whose book it is, whichever way the customer is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.books import book_of


@pytest.mark.parametrize(
    ("written", "book"),
    [
        ("5B1F9A52-7A0C-4E5F-8D3E-6F2B7C1A0001", "5b1f9a52-7a0c-4e5f-8d3e-6f2b7c1a0001"),
        ("0300-1234567", "03001234567"),
        ("+92 300 1234567", "03001234567"),
        ("0092 (300) 1234567", "03001234567"),
        ("923001234567", "03001234567"),
        ("042 35761234", "04235761234"),
        ("+44 20 7946 0958", "442079460958"),
        ("12-B", "12-B"),
        ("4471", "4471"),
        (" Bibi, Gali 4 ", "Bibi, Gali 4"),
        ("بی بی", "بی بی"),
        ("٠٣٠٠١٢٣٤٥٦٧", "٠٣٠٠١٢٣٤٥٦٧"),
        ("", ""),
    ],
)
def test_spellings_of_one_customer_are_one_book(written: str, book: str) -> None:
    assert book_of(written) == book


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"\+?[0-9 ()./-]{1,20}", fullmatch=True))
def test_a_book_is_named_by_its_own_name(written: str) -> None:
    assert book_of(book_of(written)) == book_of(written)
