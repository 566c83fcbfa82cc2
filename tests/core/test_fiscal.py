"""Filing: where a sale stands, in whatever order the steps came; what services are sent and answer."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.fiscal import (
    COUNTDOWN_MS,
    Contact,
    FiscalSetting,
    State,
    Step,
    check_filing,
    filing_of,
    read_setting,
    standing,
    usin_of,
)
from posline.core.fiscal_answers import Verdict, read_answer, read_inquiry
from posline.core.fiscal_invoice import Buyer, Invoice, NotFilable, address_of, payload
from posline.core.sales import check_refund, check_sale
from posline.errors import BadRequest

A, B = "a" * 26, "b" * 26
USIN = "0" * 31 + "1-0000000a"
SELLER = {"ntn": "1234567", "name": "Corner Shop", "province": "Punjab", "address": "1 The Mall, Lahore"}
AT = "2026-11-23T14:05:09.123+05:00"


def setting(adapter: str = "fbr_ims", **more: Any) -> FiscalSetting:
    given: dict[str, Any] = {"adapter": adapter, "filer": A, "pos_id": 812345}
    if adapter == "fbr_di":
        given |= {"seller": SELLER}
    if adapter == "pra_eims":
        given |= {"url": "https://pra.example/ims"}
    found = read_setting(given | more)
    assert found is not None
    return found


# -- where a sale stands ---------------------------------------------------------------------------------------------


def step(name: str, state: str, *after: str, author: str = A, filer: str = A, number: str = "", at: str = AT) -> Step:
    return Step(name, author, state, "fbr_ims", filer, after, number, at=at)


@pytest.mark.parametrize(
    ("steps", "state", "filer"),
    [
        ([], State.QUEUED, A),
        ([step("1", "sending")], State.SENDING, A),
        ([step("1", "sending"), step("2", "accepted", "1", number="N")], State.ACCEPTED, A),
        ([step("1", "sending"), step("2", "rejected", "1")], State.REJECTED, A),
        ([step("1", "sending"), step("2", "unknown", "1")], State.UNKNOWN, A),
        ([step("1", "sending"), step("2", "rejected", "1"), step("3", "released", "2", filer=B)], State.QUEUED, B),
        # a person gave it away while its filer was sending it: neither knew of the other
        ([step("1", "sending"), step("2", "released", filer=B, author=B)], State.UNKNOWN, A),
        # ... and the answer to what was sent wins over everything
        (
            [step("1", "sending"), step("2", "released", filer=B, author=B), step("3", "accepted", "1", number="N")],
            State.ACCEPTED,
            A,
        ),
        # two lives of one filer
        ([step("1", "sending"), step("2", "sending")], State.UNKNOWN, A),
        # two managers released it alike, and apart to two tills
        ([step("1", "released", filer=B), step("2", "released", filer=B, author=B)], State.QUEUED, B),
        ([step("1", "released", filer=B), step("2", "released", filer=A, author=B)], State.UNKNOWN, A),
        # what it follows has not come yet
        ([step("1", "sending"), step("3", "rejected", "2")], State.UNKNOWN, A),
    ],
)
def test_a_sale_stands_where_its_steps_say_in_whatever_order_they_came(
    steps: list[Step], state: State, filer: str
) -> None:
    for order in permutations(steps):
        stands = standing("fbr_ims", A, order)
        assert (stands.state, stands.filer) == (state, filer)
        assert stands == standing("fbr_ims", A, [*order, *order]), "hearing twice changes nothing"


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_once_accepted_always_accepted_and_any_order_says_the_same(data: st.DataObject) -> None:
    """Random steps over random predecessors: one answer for every order, `accepted` never lost, two numbers named."""
    names = [f"{n:02d}" for n in range(data.draw(st.integers(1, 7)))]
    steps = []
    for i, name in enumerate(names):
        after = data.draw(st.lists(st.sampled_from(names[:i]), unique=True, max_size=3)) if i else []
        state = data.draw(st.sampled_from(["sending", "accepted", "rejected", "unknown", "released"]))
        number = data.draw(st.sampled_from(["N1", "N2"])) if state == "accepted" else ""
        filer = data.draw(st.sampled_from([A, B]))
        steps.append(step(name, state, *after, filer=filer, number=number, author=data.draw(st.sampled_from([A, B]))))
    stands = standing("fbr_ims", A, steps)
    assert stands == standing("fbr_ims", A, data.draw(st.permutations(steps)))
    numbers = {s.number for s in steps if s.state == "accepted"}
    assert (stands.state is State.ACCEPTED) == bool(numbers)
    assert any("filed 2 times" in alarm for alarm in stands.alarms) == (len(numbers) == 2)
    if stands.state is State.QUEUED:
        followed = {hash for s in steps for hash in s.after}
        assert all(s.state == "released" for s in steps if s.hash not in followed), "only a word leads back to it"


def test_who_sends_what_is_not_theirs_is_named() -> None:
    stands = standing("fbr_ims", A, [step("1", "sending", author=B)])
    assert stands.alarms == (f"{B} sent it, which was not its to file",)


def test_a_filing_entry_is_checked() -> None:
    good = {
        "sale": "00000000-0000-4000-8000-000000000001", "of": "0" * 64, "usin": USIN, "adapter": "fbr_ims", "filer": A,
        "state": "accepted", "number": "812345000", "after": ["1" * 64],
    }  # fmt: skip
    assert check_filing(A, good) is None
    for change in (
        {"sale": "x"}, {"of": "0"}, {"usin": "A-1"}, {"adapter": ""}, {"filer": "me"}, {"state": "queued"},
        {"number": ""}, {"number": 5}, {"errors": "no"}, {"errors": ["x" * 201]}, {"after": ["x"]}, {"qr": 1},
    ):  # fmt: skip
        assert check_filing(A, good | change) is not None, change


def test_a_reference_is_one_for_what_two_tills_recorded_alike() -> None:
    id = "5f0c9a4e-1111-4222-8333-abcdefabcdef"
    assert usin_of(id, b"\x01\x02\x03\x04\x05") == "5f0c9a4e111142228333abcdefabcdef-01020304"
    assert usin_of(id, b"\xff" * 32) != usin_of(id, b"\x01" * 32)
    assert len(usin_of(id, b"\x01" * 32)) <= 50


def test_the_countdown_runs_from_restoration() -> None:
    sold, hour = 1_000_000_000, 3_600_000
    contact = Contact()
    assert contact.due_ms(None) is None
    assert contact.due_ms(sold) == sold + COUNTDOWN_MS
    down = contact.missed(sold + hour).missed(sold + 2 * hour)
    assert down == Contact(sold + hour), "an outage begins with the first miss"
    assert down.due_ms(sold) is None, "and no countdown runs in it"
    back = down.reached(sold + 30 * hour)
    assert back.due_ms(sold) == sold + 30 * hour + COUNTDOWN_MS
    assert back.due_ms(sold + 40 * hour) == sold + 40 * hour + COUNTDOWN_MS


# -- the setting -----------------------------------------------------------------------------------------------------


def test_filing_is_off_until_it_is_set() -> None:
    for off in (None, {}, {"adapter": "off"}):
        assert read_setting(off) is None
    assert filing_of(None, "2026-11-23") is None
    on = setting(from_day="2026-12-01")
    assert filing_of(on, "2026-11-30") is None
    assert filing_of(on, "2026-12-01") == {"adapter": "fbr_ims", "filer": A}


def test_every_wrong_field_of_the_setting_is_named() -> None:
    with pytest.raises(BadRequest) as raised:
        read_setting({"adapter": "fbr_di", "filer": "x", "url": "http://far.example/", "pct_code": "1", "token": "s"})
    named = {error.field for error in raised.value.errors}
    assert {"fiscal.filer", "fiscal.url", "fiscal.pct_code", "fiscal.seller.ntn", "fiscal.token"} <= named
    with pytest.raises(BadRequest, match=r"fiscal\.pos_id"):
        read_setting({"adapter": "fbr_ims", "filer": A})


def test_where_invoices_go() -> None:
    assert address_of(setting()) == "http://localhost:8524/api/IMSFiscal/GetInvoiceNumberByModel"
    assert address_of(setting(cloud=True)) == "https://esp.fbr.gov.pk:8244/FBR/v1/api/Live/PostData"
    assert address_of(setting(cloud=True, mode="production")) == "https://gw.fbr.gov.pk/imsp/v1/api/Live/PostData"
    assert address_of(setting("fbr_di")) == "https://gw.fbr.gov.pk/di_data/v1/di/postinvoicedata_sb"
    assert address_of(setting("fbr_di", mode="production")) == "https://gw.fbr.gov.pk/di_data/v1/di/postinvoicedata"


# -- what is sent ----------------------------------------------------------------------------------------------------

PRODUCTS: dict[str, dict[str, Any]] = {
    "TEA": {"sku": "TEA", "name": "Tea", "hs_code": "0902.3000", "uom": "KG"},
    "COLA": {"sku": "COLA", "name": "Cola", "hs_code": "22021010", "sro_schedule": "3rd", "sro_serial": "5"},
}
SALE: dict[str, Any] = {
    "v": 1, "id": "00000000-0000-4000-8000-000000000001", "kind": "sale", "till": A, "run": 1, "seq": 2, "prev": "",
    "at": AT, "day": "2026-11-23", "by": "", "number": 1, "label": "A",
    "lines": [
        # 1.5 kg at 118.00, 7.00 off: 170.00, of which 25.93 is tax
        {"sku": "TEA", "quantity": "1.5", "price": 11800, "discount": 700, "class": "standard", "rate": "18",
         "tax": 2593},
        # printed price 200.00, a tenth off: the tax stays 30.51
        {"sku": "COLA", "quantity": "1", "price": 20000, "discount": 2000, "class": "third_schedule", "rate": "18",
         "tax": 3051, "mode": "printed", "mrp": 20000},
        # no tax, no product: an open item
        {"sku": "OPEN", "name": "Bag", "quantity": "2", "price": 5},
    ],
    "total": 35010,
    "tenders": [{"kind": "card", "amount": 10000}, {"kind": "cash", "amount": 30000}], "change": 4990,
}  # fmt: skip
REFUND: dict[str, Any] = {
    **{k: SALE[k] for k in ("v", "till", "run", "prev", "at", "day", "by", "label")},
    "id": "00000000-0000-4000-8000-000000000002", "kind": "refund", "seq": 3, "number": 2, "sale": SALE["id"],
    "of": "0" * 64, "reason": "broken", "total": 18000, "tax": 3051,
    "lines": [{"line": 2, "sku": "COLA", "quantity": "1", "total": 18000, "tax": 3051, "rate": "18",
               "class": "third_schedule", "mode": "printed"}],
}  # fmt: skip
REF = "0" * 31 + "2-0000000b"
GOLDEN_IMS = (
    '{"InvoiceNumber":"","POSID":812345,"USIN":"' + USIN + '","RefUSIN":"","DateTime":"2026-11-23 14:05:09",'
    '"BuyerName":"Ahmed Traders","BuyerNTN":"7654321-0","BuyerCNIC":"","BuyerPhoneNumber":"03001234567",'
    '"TotalBillAmount":350.10,"TotalQuantity":4.5,"TotalSaleValue":320.66,"TotalTaxCharged":56.44,"Discount":27.00,'
    '"FurtherTax":0.00,"PaymentMode":5,"InvoiceType":1,"Items":['
    '{"ItemCode":"TEA","ItemName":"Tea","Quantity":1.5,"PCTCode":"09023000","TaxRate":18,"SaleValue":151.07,'
    '"TotalAmount":170.00,"TaxCharged":25.93,"Discount":7.00,"FurtherTax":0.00,"InvoiceType":1,"RefUSIN":""},'
    '{"ItemCode":"COLA","ItemName":"Cola","Quantity":1,"PCTCode":"22021010","TaxRate":18,"SaleValue":169.49,'
    '"TotalAmount":180.00,"TaxCharged":30.51,"Discount":20.00,"FurtherTax":0.00,"InvoiceType":11,"RefUSIN":""},'
    '{"ItemCode":"OPEN","ItemName":"Bag","Quantity":2,"PCTCode":"00000000","TaxRate":0,"SaleValue":0.10,'
    '"TotalAmount":0.10,"TaxCharged":0.00,"Discount":0.00,"FurtherTax":0.00,"InvoiceType":1,"RefUSIN":""}]}'
)
GOLDEN_RETURN = (
    '{"InvoiceNumber":"","POSID":812345,"USIN":"' + REF + '","RefUSIN":"' + USIN + '",'
    '"DateTime":"2026-11-23 14:05:09","BuyerName":"","BuyerPNTN":"","BuyerCNIC":"","BuyerPhoneNumber":"",'
    '"TotalBillAmount":180.00,"TotalQuantity":1,"TotalSaleValue":169.49,"TotalTaxCharged":30.51,"Discount":20.00,'
    '"FurtherTax":0.00,"PaymentMode":1,"InvoiceType":3,"Items":['
    '{"ItemCode":"COLA","ItemName":"Cola","Quantity":1,"PCTCode":"22021010","TaxRate":18,"SaleValue":169.49,'
    '"TotalAmount":180.00,"TaxCharged":30.51,"Discount":20.00,"FurtherTax":0.00,"InvoiceType":12,"RefUSIN":"'
    + USIN + '"}]}'
)  # fmt: skip
GOLDEN_DI = (
    '{"invoiceType":"Sale Invoice","invoiceDate":"2026-11-23","sellerNTNCNIC":"1234567",'
    '"sellerBusinessName":"Corner Shop","sellerProvince":"Punjab","sellerAddress":"1 The Mall, Lahore",'
    '"buyerNTNCNIC":"","buyerBusinessName":"Walk-in customer","buyerProvince":"Punjab",'
    '"buyerAddress":"1 The Mall, Lahore","buyerRegistrationType":"Unregistered","invoiceRefNo":"",'
    '"scenarioId":"SN027","items":['
    '{"hsCode":"0902.3000","productDescription":"Tea","rate":"18%","uoM":"KG","quantity":1.5,"totalValues":170.00,'
    '"valueSalesExcludingST":144.07,"fixedNotifiedValueOrRetailPrice":0.00,"salesTaxApplicable":25.93,'
    '"salesTaxWithheldAtSource":0.00,"extraTax":"","furtherTax":0.00,"sroScheduleNo":"","fedPayable":0.00,'
    '"discount":7.00,"saleType":"Goods at standard rate (default)","sroItemSerialNo":""},'
    '{"hsCode":"2202.1010","productDescription":"Cola","rate":"18%","uoM":"Numbers, pieces, units","quantity":1,'
    '"totalValues":180.00,"valueSalesExcludingST":149.49,"fixedNotifiedValueOrRetailPrice":200.00,'
    '"salesTaxApplicable":30.51,"salesTaxWithheldAtSource":0.00,"extraTax":"","furtherTax":0.00,'
    '"sroScheduleNo":"3rd","fedPayable":0.00,"discount":20.00,"saleType":"3rd Schedule Goods","sroItemSerialNo":"5"},'
    '{"hsCode":"0000.0000","productDescription":"Bag","rate":"Exempt","uoM":"Numbers, pieces, units","quantity":2,'
    '"totalValues":0.10,"valueSalesExcludingST":0.10,"fixedNotifiedValueOrRetailPrice":0.00,'
    '"salesTaxApplicable":0.00,"salesTaxWithheldAtSource":0.00,"extraTax":"","furtherTax":0.00,"sroScheduleNo":"",'
    '"fedPayable":0.00,"discount":0.00,"saleType":"Exempt goods","sroItemSerialNo":""}]}'
)
BUYER = Buyer("Ahmed Traders", "7654321-0", phone="03001234567")
SOLD = Invoice("sale", SALE, USIN)
BACK = Invoice("refund", REFUND, REF, sale=SALE, sale_usin=USIN, sale_number="7000007DI1")


def sent(on: FiscalSetting, invoice: Invoice) -> str:
    return payload(on, invoice, PRODUCTS.get).decode()


def test_the_entries_of_the_golden_payloads_are_valid() -> None:
    assert check_sale(A, SALE) is None
    assert check_refund(A, REFUND) is None


def test_fbr_ims_is_sent_exactly_this() -> None:
    assert sent(setting(), Invoice("sale", SALE, USIN, BUYER)) == GOLDEN_IMS


def test_a_return_to_pra_eims_names_the_sale_and_has_amounts_above_zero() -> None:
    assert sent(setting("pra_eims"), BACK) == GOLDEN_RETURN


def test_fbr_di_is_sent_exactly_this() -> None:
    assert sent(setting("fbr_di"), SOLD) == GOLDEN_DI
    live = json.loads(sent(setting("fbr_di", mode="production"), Invoice("sale", SALE, USIN, BUYER)))
    assert "scenarioId" not in live
    assert (live["buyerRegistrationType"], live["buyerNTNCNIC"]) == ("Registered", "7654321-0")


def test_scenarios_of_fbr_di_follow_what_was_sold() -> None:
    def scenario(*lines: dict[str, Any]) -> str:
        sale = SALE | {"lines": list(lines)}
        return str(json.loads(sent(setting("fbr_di"), Invoice("sale", sale, USIN)))["scenarioId"])

    tea = {"sku": "TEA", "quantity": "1", "price": 11800, "rate": "18", "tax": 1800}
    milk = {"sku": "MILK", "quantity": "1", "price": 10500, "rate": "5", "tax": 500}
    assert scenario(tea) == "SN026"
    assert scenario(milk) == "SN028"
    assert scenario(tea, SALE["lines"][1]) == "SN027"


def test_a_return_to_fbr_di_names_the_number_of_its_sale() -> None:
    made = json.loads(sent(setting("fbr_di"), BACK))
    assert (made["invoiceType"], made["invoiceRefNo"]) == ("Debit Note", "7000007DI1")
    with pytest.raises(NotFilable, match="number of its sale"):
        sent(setting("fbr_di"), Invoice("refund", REFUND, REF, sale=SALE, sale_usin=USIN))


def test_a_void_takes_back_all_that_was_sold() -> None:
    void = {"kind": "void", "at": AT, "sale": SALE["id"], "of": "0" * 64, "reason": "x", "total": 35010, "lines": []}
    made = json.loads(sent(setting(), Invoice("void", void, REF, sale=SALE, sale_usin=USIN)), parse_float=Decimal)
    assert made["TotalBillAmount"] == Decimal("350.10")
    assert [item["InvoiceType"] for item in made["Items"]] == [3, 12, 3]


@pytest.mark.parametrize(
    ("tenders", "mode"),
    [
        (None, 1),
        ([{"kind": "card", "amount": 35010}], 2),
        ([{"kind": "jazzcash", "amount": 35010}], 1),
        ([{"kind": "raast", "amount": 35010}], 4),
        ([{"kind": "cheque", "amount": 35010}], 6),
        ([{"kind": "cash", "amount": 10}, {"kind": "card", "amount": 35000}], 5),
    ],
)
def test_how_it_was_paid(tenders: list[dict[str, Any]] | None, mode: int) -> None:
    sale = {k: v for k, v in SALE.items() if k not in ("tenders", "change")} | ({"tenders": tenders} if tenders else {})
    made = json.loads(sent(setting(payment_modes={"raast": 4, "other": 1}), Invoice("sale", sale, USIN)))
    assert made["PaymentMode"] == mode


def test_what_no_service_takes_is_refused_here() -> None:
    line = {"sku": "COLA", "quantity": "1", "price": 2000, "rate": "18", "tax": 3051, "mode": "printed", "mrp": 20000}
    with pytest.raises(NotFilable, match="less than its tax"):
        sent(setting(), Invoice("sale", SALE | {"lines": [line], "total": 2000}, USIN))


# -- what is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "verdict", "number"),
    [
        (200, '{"InvoiceNumber":"812345ABC","Code":100,"Response":"ok","Errors":null}', Verdict.ACCEPTED, "812345ABC"),
        (200, '{"InvoiceNumber":"812345ABC","Code":"100"}', Verdict.ACCEPTED, "812345ABC"),
        (200, '{"InvoiceNumber":812345000000000000123,"Code":"100"}', Verdict.ACCEPTED, "812345000000000000123"),
        (200, '\ufeff"{\\"InvoiceNumber\\":\\"7\\",\\"Code\\":100}"', Verdict.ACCEPTED, "7"),
        (200, '{"InvoiceNumber":"Not Available","Code":"104","Errors":["POSID"]}', Verdict.REJECTED, ""),
        (200, '{"InvoiceNumber":"1","Code":101}', Verdict.REJECTED, ""),
        (200, '{"InvoiceNumber":"","Code":100}', Verdict.UNKNOWN, ""),
        (200, '{"InvoiceNumber":null,"Code":"100"}', Verdict.UNKNOWN, ""),
        (200, '{"InvoiceNumber":"5"}', Verdict.UNKNOWN, ""),
        (200, '{"InvoiceNumber":"5","Code":true}', Verdict.UNKNOWN, ""),
        (200, "<html>", Verdict.UNKNOWN, ""),
        (200, "[]", Verdict.UNKNOWN, ""),
        (200, "", Verdict.UNKNOWN, ""),
        (400, '{"Message":"The request is invalid."}', Verdict.REJECTED, ""),
        (401, '{"fault":"Invalid Credentials"}', Verdict.NOT_TAKEN, ""),
        (429, "", Verdict.NOT_TAKEN, ""),
        (503, "", Verdict.NOT_TAKEN, ""),
        (408, "", Verdict.UNKNOWN, ""),
        (500, '{"Message":"An error has occurred."}', Verdict.UNKNOWN, ""),
        (500, '{"InvoiceNumber":"812345","Code":100}', Verdict.UNKNOWN, ""),
        (502, "<html>", Verdict.UNKNOWN, ""),
        (504, "", Verdict.UNKNOWN, ""),
    ],
)
def test_what_an_answer_of_ims_means(status: int, body: str, verdict: Verdict, number: str) -> None:
    answer = read_answer(setting(), status, body.encode())
    assert (answer.verdict, answer.number) == (verdict, number)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"invoiceNumber": "7DI1", "validationResponse": {"statusCode": "00"}}, Verdict.ACCEPTED),
        ({"invoiceNumber": "", "validationResponse": {"statusCode": "00"}}, Verdict.UNKNOWN),
        ({"validationResponse": {"statusCode": "01", "error": "NTN"}}, Verdict.REJECTED),
        (
            {"validationResponse": {"statusCode": "00", "invoiceStatuses": [{"statusCode": "01", "error": "rate"}]}},
            Verdict.REJECTED,
        ),
        ({"invoiceNumber": "7DI1"}, Verdict.UNKNOWN),
    ],
)
def test_what_an_answer_of_di_means(said: dict[str, Any], verdict: Verdict) -> None:
    assert read_answer(setting("fbr_di"), 200, json.dumps(said).encode()).verdict is verdict


def test_a_service_s_words_are_kept_short_and_printable() -> None:
    said = {"Code": "104", "Errors": ["\ud800\x1b[31m" + "x" * 500] * 50}
    answer = read_answer(setting(), 200, json.dumps(said).encode())
    assert len(answer.errors) == 20
    assert all(len(error) <= 200 and error.isprintable() for error in answer.errors)


def test_a_qr_may_carry_an_address() -> None:
    on = setting("pra_eims", qr_url="https://pra.example/?n=")
    answer = read_answer(on, 200, b'{"InvoiceNumber":"9","Code":100}')
    assert answer.qr == "https://pra.example/?n=9"


def test_what_a_gateway_says_of_a_reference() -> None:
    assert read_inquiry(200, b'{"found":true,"InvoiceNumber":"9"}').verdict is Verdict.ACCEPTED
    assert read_inquiry(404, b'{"found":false}').verdict is Verdict.NOT_TAKEN
    assert read_inquiry(404, b"<html>no such page").verdict is Verdict.UNKNOWN, "a wrong address says nothing of a sale"


@settings(max_examples=100, deadline=None)
@given(st.integers(100, 599), st.binary(max_size=60))
def test_no_answer_makes_it_fail_and_none_is_accepted_by_chance(status: int, body: bytes) -> None:
    for adapter in ("fbr_ims", "fbr_di"):
        assert read_answer(setting(adapter), status, body).verdict is not Verdict.ACCEPTED
