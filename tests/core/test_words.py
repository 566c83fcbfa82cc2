"""Words as a search compares them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.words import fold


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Kellogg's 1.5 kg", "kelloggs 1 5 kg"), ("Kellogg’s", "kelloggs"), ("7-Up", "7 up"), ("  A\t/ B\n", "a b"),
        ("Nestlé Crème BRÛLÉE", "nestle creme brulee"), ("Straße", "strasse"), ("", ""), ("-./'", ""), ("½ l", "1 2 l"),
        ("ﬁne №5 ™", "fine no5 tm"), ("5㎏", "5kg"), ("㏀", "kω"), ("چائے", "چایے"), ("قيمة", "قیمہ"), ("کیک", "کیک"),
        ("كيك", "کیک"), ("دودھ", "دودہ"), ("دوده", "دودہ"), ("آٹا", "اٹا"), ("چا\u0640ئے", "چایے"), ("دُودھ", "دودہ"),
        ("۱۲ ٣", "12 3"), ("\u200fچائے\u200c", "چایے"), ("日本茶", "日本茶"), ("🍵 tea", "tea"), ("a\u0000b", "a b"),
    ],
)  # fmt: skip
def test_a_text_is_folded(text: str, words: str) -> None:
    assert fold(text) == words


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_folding_twice_changes_nothing_and_leaves_one_blank_between_words(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded == " ".join(folded.split())
    assert fold(f"  {text}\n") == folded


@given(st.text(st.characters(max_codepoint=127), max_size=40))
@settings(max_examples=100)
def test_the_short_way_for_ascii_says_the_same(text: str) -> None:
    assert fold(text + " é") == f"{fold(text)} e".strip()
