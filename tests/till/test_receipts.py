"""What stands on receipts, and how they look as text, page, printer's bytes and picture."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from docs.draw_receipts import FILED, LINES, REFUND, SALE, SHOP, SPLIT, VOID, proof_of_the_sale
from docs.draw_receipts import receipts as drawn_in_the_docs
from posline.errors import BadRequest
from posline.till.receipts import fonts
from posline.till.receipts.blocks import PAPERS, Align, Cell, Code, Columns, Cut, Receipt, Text, has_urdu
from posline.till.receipts.escpos import escpos, kick
from posline.till.receipts.fonts import Face, can_shape, stamp
from posline.till.receipts.html import html
from posline.till.receipts.layout import NO_URDU, Fiscal, Made, Udhaar, receipt_of, report_of
from posline.till.receipts.qr import QUIET, matrix
from posline.till.receipts.raster import draw_block, picture, png
from posline.till.receipts.settings import ReceiptSettings, read_settings, settings_of
from posline.till.receipts.text import columns_of, text

PLAIN = ReceiptSettings(name="Shop", proof=False)
SHORT: dict[str, Any] = {
    "kind": "sale", "receipt": "A-1-K7QM", "label": "A", "by": "", "at": "2026-11-26T18:42:07.000+05:00",
    "lines": [{"sku": "T", "name": "Tea", "quantity": "2", "price": 250, "total": 500}], "total": 500,
    "tenders": [{"kind": "cash", "amount": 1000}], "change": 500,
}  # fmt: skip
urdu_only = pytest.mark.skipif(not can_shape(), reason="this machine has no fribidi")


def lines_of(receipt: Receipt) -> list[str]:
    return text(receipt).splitlines()


def row(receipt: Receipt, label: str) -> str:
    """The value that stands beside a label."""
    (found,) = [line for line in lines_of(receipt) if line.startswith(label)]
    return found.removeprefix(label).strip()


def texts(receipt: Receipt) -> Iterator[str]:
    for block in receipt.blocks:
        if isinstance(block, Text):
            yield block.text
        elif isinstance(block, Columns):
            yield from (cell.text for cell in block.cells)
        elif isinstance(block, Code):
            yield block.caption


# -- what stands on it -------------------------------------------------------------------------------------------------


def test_a_sale_says_what_a_fiscal_receipt_must_say() -> None:
    receipt = receipt_of(SALE, SHOP)
    whole = text(receipt)
    for part in ("Madina General Store", "14 Ferozepur Road, Lahore", "NTN: 1234567-8", "STRN: 3277876112233"):
        assert part in whole
    assert row(receipt, "Receipt") == "A-1234-K7QM"
    assert row(receipt, "Date") == "26-11-2026 18:42:07"
    assert row(receipt, "Cashier") == "Ayesha"
    assert row(receipt, "3 × 340.00") == "1,000.00"
    assert row(receipt, "1.250 kg × 159.90") == "199.88"
    assert row(receipt, "disc. 20.00, tax 18% 152.54") == ""
    assert row(receipt, "Subtotal") == "3,109.88"
    assert row(receipt, "Discount") == "-20.00"
    assert row(receipt, "PAYABLE") == "Rs 3,090.00"
    assert row(receipt, "Cash  ") == "3,500.00"
    assert row(receipt, "Change") == "410.00"


def test_cash_rounding_is_a_line_of_its_own_and_leaves_the_tax_alone() -> None:
    receipt = receipt_of(SALE, SHOP)
    assert (row(receipt, "Total"), row(receipt, "Rounding")) == ("3,089.88", "0.12")
    exact = receipt_of(SALE | {"rounding": 0}, SHOP)
    assert "Rounding" not in text(exact) and row(exact, "Tax included") == row(receipt, "Tax included")


def test_tax_is_summed_by_rate_where_there_are_several() -> None:
    receipt = receipt_of(SALE, SHOP)
    assert row(receipt, "Tax 18% (847.46)") == "152.54"
    assert row(receipt, "Tax 5% (190.36)") == "9.52"
    assert row(receipt, "Tax included") == "162.06" and row(receipt, "Value before tax") == "2,927.82"
    one = receipt_of(SALE | {"lines": LINES[:2], "tax": 15254}, SHOP)
    assert row(one, "Tax included 18%") == "152.54"
    added = receipt_of(SALE | {"lines": [LINES[1] | {"mode": "exclusive"}]}, SHOP)
    assert row(added, "Tax 18%") == "162.06", "tax on top is not called included"


def test_a_refund_and_a_void_say_of_what_and_why() -> None:
    refund = receipt_of(REFUND, SHOP)
    assert "REFUND" in text(refund)
    assert (row(refund, "Original receipt"), row(refund, "Reason")) == ("A-1234-K7QM", "pack was torn")
    assert (row(refund, "PAID BACK"), row(refund, "Cash  ")) == ("Rs 333.00", "333.00")
    void = receipt_of(VOID, SHOP)
    assert "VOID" in text(void) and "This sale was cancelled." in text(void)
    assert row(void, "PAID BACK") == "Rs 3,090.00"
    cancelled = receipt_of(SALE | {"voided": True}, SHOP)
    assert "VOID" in text(cancelled) and row(cancelled, "PAYABLE") == "Rs 3,090.00"


def test_a_copy_says_so_in_both_languages() -> None:
    assert "COPY" not in text(receipt_of(SALE, SHOP))
    for language in ("en", "ur"):
        copy = receipt_of(SALE, SHOP, Made(copy=True, language=language))
        assert any("COPY" in each and "نقل" in each for each in texts(copy))


def test_what_a_customer_owes_stands_below() -> None:
    customer = Udhaar("Imran Ali", "0300-1234567", "7654321", balance=458988)
    receipt = receipt_of(SPLIT, SHOP, customer=customer)
    assert row(receipt, "Customer  ") == "Imran Ali 0300-1234567"
    assert row(receipt, "Customer NTN") == "7654321"
    assert row(receipt, "Raast (ref. RT88213)") == "2,000.00"
    assert row(receipt, "Udhaar   ") == "1,089.88"
    assert row(receipt, "Udhaar balance") == "4,589.88"
    assert "Received" not in text(receipt), "what is owed was not received"
    assert "balance" not in text(receipt_of(SPLIT, SHOP, customer=Udhaar("Imran Ali")))


def test_the_fiscal_number_and_its_code() -> None:
    filed = receipt_of(SALE, SHOP, fiscal=FILED)
    (code,) = [block for block in filed.blocks if isinstance(block, Code)]
    assert (code.text, code.inch) == (FILED.number, True) and FILED.number in text(filed)
    linked = receipt_of(SALE, SHOP, fiscal=Fiscal("accepted", "1", "https://example.com/1", "PRA"))
    assert [block.text for block in linked.blocks if isinstance(block, Code)] == ["https://example.com/1"]
    assert "each before tax 288.14" in " ".join(text(filed).split()), "the price without tax, which SRO 1006 asks for"
    copy = receipt_of(SALE, SHOP, Made(copy=True), fiscal=FILED)
    assert FILED.number in text(copy) and "COPY" in text(copy)


def test_what_is_not_filed_yet_says_so() -> None:
    offline = receipt_of(SALE, SHOP, fiscal=Fiscal("offline"))
    assert "Issued offline." in text(offline) and not any(isinstance(block, Code) for block in offline.blocks)
    assert "offline" not in text(receipt_of(SALE, SHOP))


def test_the_signed_sale_is_printed_only_where_the_shop_wants_it() -> None:
    codes = proof_of_the_sale()
    wanted = [b for b in receipt_of(SALE, SHOP, proof=codes).blocks if isinstance(b, Code)]
    assert [(b.text, b.caption) for b in wanted] == [(codes[0], "Proof of this sale")]
    several = [b for b in receipt_of(SALE, SHOP, proof=["PL1:12A.", "PL1:22B."]).blocks if isinstance(b, Code)]
    assert [b.caption for b in several] == ["Proof of this sale, part 1 of 2", "Proof of this sale, part 2 of 2"]
    assert not [b for b in receipt_of(SALE, PLAIN, proof=codes).blocks if isinstance(b, Code)]


def test_a_report_is_a_paper_of_its_own() -> None:
    receipt = report_of("Z report", [("Sales", "10"), None, ("Cash", "5.00")], SHOP, totals=[("Net", "Rs 5.00")])
    assert (row(receipt, "Sales"), row(receipt, "Net")) == ("10", "Rs 5.00") and "NTN" not in text(receipt)


# -- as text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("language", ["en", "ur"])
def test_text_fits_its_paper_and_loses_nothing(paper: str, language: str) -> None:
    long = "A very long name of a thing that no shop should sell but some do " * 2
    sale = SALE | {"lines": [LINES[0] | {"name": long, "name_ur": "", "total": 98765432100}]}
    receipt = receipt_of(sale, SHOP.on(PAPERS[paper]), Made(language=language))
    lines = lines_of(receipt)
    width = PAPERS[paper].columns
    assert all(columns_of(line) <= width for line in lines)
    assert " ".join(long.split()) in " ".join(" ".join(lines).split())
    assert any("987,654,321.00" in line for line in lines), "an amount is never cut or broken"
    if language == "en":
        assert [line for line in lines if line.endswith("Rs 3,090.00") and len(line) == width]


def test_text_at_three_widths() -> None:
    shop = ReceiptSettings(name="Shop", proof=False)
    assert text(receipt_of(SHORT, shop), 32) == (
        "              Shop\n"
        "--------------------------------\n"
        "Receipt                 A-1-K7QM\n"
        "Date         26-11-2026 18:42:07\n"
        "Till                           A\n"
        "--------------------------------\n"
        "Tea\n"
        "2 × 2.50                    5.00\n"
        "================================\n"
        "PAYABLE                  Rs 5.00\n"
        "================================\n"
        "Cash                       10.00\n"
        "Received                   10.00\n"
        "Change                      5.00\n"
    )
    for width in (42, 48):
        lines = text(receipt_of(SHORT, shop), width).splitlines()
        assert lines[-1] == "Change" + "5.00".rjust(width - 6) and lines[1] == "-" * width


# -- as a page ---------------------------------------------------------------------------------------------------------


def test_a_page_escapes_all_that_people_typed_and_asks_nothing_of_the_net() -> None:
    evil = '<script>alert("x")</script>&'
    sale = SALE | {"by": evil, "lines": [LINES[0] | {"name": evil}]}
    shop = ReceiptSettings(name=evil, footer=(evil,), header=(evil,), ntn=evil)
    page = html(receipt_of(sale, shop, customer=Udhaar(evil, evil)))
    assert "<script" not in page and page.count("&lt;script&gt;") >= 6 and "&quot;x&quot;" in page
    assert not re.search(r"""(src|href)=["']?(http|//)""", page)


def test_a_page_in_urdu_runs_from_the_right() -> None:
    page = html(receipt_of(SALE, SHOP, Made(language="ur"), proof=proof_of_the_sale()))
    assert '<html lang="ur" dir="rtl">' in page and "مدینہ جنرل سٹور" in page
    assert page.count("<svg") == 1 and "<bdi>1,890.00</bdi>" in page
    assert '<html lang="en" dir="ltr">' in html(receipt_of(SALE, SHOP))


# -- as a printer's bytes ----------------------------------------------------------------------------------------------

GOLDEN = (
    b"\x1b@\x1bR\x00\x1bt\x00"
    b"\x1ba\x00\x1bE\x01\x1d!\x11      Shop\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00--------------------------------\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00Receipt                 A-1-K7QM\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00Date         26-11-2026 18:42:07\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00Till                           A\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00--------------------------------\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x01\x1d!\x00Tea\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x002 x 2.50                    5.00\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00================================\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x01\x1d!\x11PAYABLE  Rs 5.00\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00================================\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00Cash                       10.00\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x00\x1d!\x00Received                   10.00\n\x1bE\x00\x1d!\x00"
    b"\x1ba\x00\x1bE\x01\x1d!\x00Change                      5.00\n\x1bE\x00\x1d!\x00"
    b"\x1bd\x04\x1dV\x01"
    b"\x1b@"
)


def test_the_bytes_of_a_plain_receipt() -> None:
    assert escpos(receipt_of(SHORT, PLAIN.on(PAPERS["58"]))) == GOLDEN


def test_the_drawer_opens_before_anything_is_printed() -> None:
    assert kick(2) == b"\x1bp\x00\x19\x64" and kick(5) == b"\x1bp\x01\x19\x64"
    made = escpos(receipt_of(SHORT, PLAIN.on(PAPERS["58"]), Made(drawer=True)))
    assert made == GOLDEN.replace(b"\x1bt\x00", b"\x1bt\x00\x1bp\x00\x19\x64", 1)


def test_a_roll_without_a_knife_is_not_cut() -> None:
    assert b"\x1dV" not in escpos(receipt_of(SHORT, PLAIN, Made(cut=False)))


def commands(made: bytes) -> list[bytes]:
    """The commands in a printer's bytes, as a printer would take them; raises on anything else than what we send."""
    found, at = [], 0
    lengths = {b"\x1b@": 2, b"\x1bR": 3, b"\x1bt": 3, b"\x1ba": 3, b"\x1bE": 3, b"\x1d!": 3, b"\x1bd": 3, b"\x1dV": 3,
               b"\x1bp": 5}  # fmt: skip
    while at < len(made):
        head = made[at : at + 2]
        if head == b"\x1dv":
            across, rows = (int.from_bytes(made[at + i : at + i + 2], "little") for i in (4, 6))
            size = 8 + across * rows
        elif head in lengths:
            size = lengths[head]
        else:
            assert made[at] == 10 or 0x20 <= made[at] < 0x7F, f"{made[at]:#x} is neither letter nor command"
            at += 1
            continue
        found.append(made[at : at + size])
        at += size
    return found


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=20))
def test_nothing_that_people_typed_is_a_command(name: str, by: str) -> None:
    sale = SHORT | {"by": by, "lines": [SHORT["lines"][0] | {"name": name}]}
    found = commands(escpos(receipt_of(sale, PLAIN.on(PAPERS["58"]))))
    assert sum(each.startswith((b"\x1bp", b"\x10")) for each in found) == 0
    assert sum(each.startswith(b"\x1dV") for each in found) == 1 and sum(each == b"\x1b@" for each in found) == 2


@urdu_only
def test_urdu_goes_to_the_printer_as_pictures_in_bands() -> None:
    made = escpos(receipt_of(SALE, SHOP, Made(language="ur"), proof=proof_of_the_sale()))
    bands = [each for each in commands(made) if each.startswith(b"\x1dv0")]
    assert len(bands) > 20 and all(int.from_bytes(band[6:8], "little") <= 128 for band in bands)
    assert all(band[4:6] == (72).to_bytes(2, "little") for band in bands)
    mixed = SHORT | {"lines": [SHORT["lines"][0] | {"name": "چائے"}]}
    made = escpos(receipt_of(mixed, PLAIN.on(PAPERS["58"])))
    assert sum(each.startswith(b"\x1dv0") for each in commands(made)) == 1, "one name is, and the rest is letters"
    assert b"PAYABLE" in made


# -- as a picture ------------------------------------------------------------------------------------------------------


def test_a_picture_is_what_the_head_prints() -> None:
    for paper in PAPERS.values():
        drawn = picture(receipt_of(SALE, SHOP.on(paper)))
        assert (drawn.mode, drawn.width) == ("1", paper.dots)
    with Image.open(io.BytesIO(png(receipt_of(SALE, SHOP)))) as opened:
        assert opened.mode == "1" and opened.width > PAPERS["80"].dots


def test_a_code_is_drawn_module_by_module() -> None:
    for code in (Code("PL1:" + "A" * 500 + "."), Code("8123452511261", inch=True)):
        found = matrix(code.text, code.error)
        drawn = draw_block(code, Receipt((code,), PAPERS["80"]))
        assert drawn is not None
        box = drawn.point(lambda dot: 0 if dot else 255).getbbox()
        assert box is not None
        dots, rest = divmod(box[2] - box[0], found.side)
        assert rest == 0 and dots >= 3 and box[1] == QUIET * dots, "square modules, and white around them"
        for y, cells in enumerate(found.rows):
            for x, black in enumerate(cells):
                middle = (box[0] + x * dots + dots // 2, box[1] + y * dots + dots // 2)
                assert (drawn.getpixel(middle) == 0) is black
    assert 160 <= box[2] - box[0] <= 203, "a fiscal code is about an inch"


def parts_of(word: str, face: Face) -> int:
    """How many pieces of ink a word has."""
    ink = stamp(word, face).ink.point(lambda shade: 255 if shade > 96 else 0)
    left = {(x, y) for x in range(ink.width) for y in range(ink.height) if ink.getpixel((x, y))}
    count = 0
    while left:
        count += 1
        work = [left.pop()]
        while work:
            x, y = work.pop()
            beside = {(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= beside
            work += beside
    return count


@urdu_only
@pytest.mark.parametrize("font", ["nastaliq", "naskh"])
def test_urdu_letters_are_joined(font: str) -> None:
    face = Face(font, 60)
    joined, apart = parts_of("ببب", face), parts_of("ب\u200cب\u200cب", face)
    assert (joined, apart) == (4, 6), "one stroke with three dots, not three letters"


@urdu_only
def test_no_descender_is_clipped() -> None:
    """A line of Nastaliq hangs lower than any line height guessed for it: all its ink must be in the picture."""
    for words in ("کیشیئر قیمت بغیر ٹیکس", "ادھار بقایا", "پی او ایس نمبر", "چھوٹے گوشت ژ"):
        for size in (1, 2):
            block = Text(words, Align.START, size, True)
            drawn = draw_block(block, Receipt((block,), PAPERS["80"], language="ur"))
            assert drawn is not None
            face = Face("nastaliq", 24 if size == 1 else 38, True)
            alone = sum(_ink(stamp(word, face).ink) for word in words.split())
            shown = sum(drawn.point(lambda dot: 0 if dot else 1).convert("L").histogram()[1:])
            assert shown > 0.93 * alone, "words may touch, and lose nothing else"


def _ink(image: Image.Image) -> int:
    return sum(image.point(lambda shade: 255 if shade >= 96 else 0).histogram()[1:])


@urdu_only
def test_figures_keep_their_order_within_urdu() -> None:
    def order(words: str) -> list[str]:
        (line,) = fonts.lines_of(words, Face(), 2000, rtl=True)
        return [piece.text for piece in line.pieces if piece.way != "S"]

    assert order("فون: 042-35761234") == ["042-35761234", ":", "فون"]
    assert order("دودھ 1000 ملی لیٹر") == ["لیٹر", "ملی", "1000", "دودھ"]
    assert order("راست (حوالہ RT88213)") == ["(", "RT", "88213", "حوالہ", ")", "راست"]
    assert order("-20.00") == ["-20.00"] and order("1,890.00") == ["1,890.00"]


def test_without_shaping_all_of_it_is_in_english_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    sale = SALE | {"by": "عائشہ", "lines": [LINES[0] | {"name": "چاول"}]}
    shop = ReceiptSettings(name="مدینہ", address=("لاہور",), languages=("ur",), proof=False)
    receipt = receipt_of(sale, shop, Made(copy=True, urdu=False))
    assert receipt.language == "en" and receipt.warnings == (NO_URDU,)
    assert not any(has_urdu(each) for each in texts(receipt))
    assert "101" in texts(receipt), "a product is called by its SKU"
    assert "COPY" in texts(receipt) and row(receipt, "PAYABLE") == "Rs 3,090.00"
    monkeypatch.setattr(fonts, "can_shape", lambda: False)
    block = Text("چائے 12")
    assert draw_block(block, Receipt((block,), PAPERS["58"])) is not None, "and what slips through is a question mark"


def test_a_logo_is_printed_and_a_broken_one_left_out() -> None:
    made = io.BytesIO()
    Image.new("L", (300, 120), 0).save(made, "PNG")
    logo = base64.b64encode(made.getvalue()).decode()
    shop = read_settings({"name": "Shop", "logo": logo, "proof": False})
    with_logo = escpos(receipt_of(SHORT, shop))
    assert any(each.startswith(b"\x1dv0") for each in commands(with_logo))
    assert "data:image/png;base64," in html(receipt_of(SHORT, shop))
    broken = base64.b64encode(made.getvalue()[:60]).decode()
    assert escpos(receipt_of(SHORT, read_settings({"name": "Shop", "logo": broken, "proof": False})))


# -- its settings ------------------------------------------------------------------------------------------------------


def test_wrong_settings_are_named_where_they_are_typed_and_left_out_where_they_come_by_sync() -> None:
    wrong = {
        "name": 7, "ntn": "1234567-8", "header": ["x"] * 13, "logo": "!", "languages": ["fr"], "paper": "A4",
        "urdu_font": "comic", "proof": "yes",
    }  # fmt: skip
    with pytest.raises(BadRequest) as caught:
        read_settings(wrong)
    names = {error.field for error in caught.value.errors}
    assert names == {f"receipt.{n}" for n in ("name", "header", "logo", "languages", "paper", "urdu_font", "proof")}
    kept = settings_of(wrong)
    assert kept == ReceiptSettings(ntn="1234567-8") and settings_of("nonsense") == ReceiptSettings()
    assert read_settings({"paper": "58", "languages": ["ur", "en"], "footer": "Thanks"}) == ReceiptSettings(
        paper=PAPERS["58"], languages=("ur", "en"), footer=("Thanks",)
    )


def test_a_logo_that_would_fill_the_memory_is_refused_unread() -> None:
    made = io.BytesIO()
    Image.new("1", (20000, 20000), 1).save(made, "PNG")
    with pytest.raises(BadRequest, match=r"receipt\.logo"):
        read_settings({"logo": base64.b64encode(made.getvalue()).decode()})


# -- the pictures of the docs ------------------------------------------------------------------------------------------


def test_the_docs_show_every_receipt_that_is_drawn_for_them() -> None:
    page = Path("docs/receipts.md").read_text()
    names = {name for name, _ in drawn_in_the_docs()}
    assert set(re.findall(r"\(receipts/([a-z-]+)\.png\)", page)) == names
    for name in names:
        path = Path(f"docs/receipts/{name}.png")
        with Image.open(path) as opened:
            assert opened.mode == "1" and path.stat().st_size < 20_000


def test_a_block_cuts() -> None:
    assert [type(block) for block in receipt_of(SHORT, PLAIN).blocks][-1] is Cut
    assert Cell("a\x1b\nb").text == "a b"


def test_a_name_cannot_turn_the_figures_beside_it() -> None:
    name = "Tea\u202e 05.2\u2067\u200f"
    receipt = receipt_of(SHORT | {"lines": [SHORT["lines"][0] | {"name": name}]}, PLAIN)
    assert "Tea 05.2" in texts(receipt)
