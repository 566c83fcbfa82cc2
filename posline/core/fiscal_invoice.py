"""What a fiscal service is sent, worked out of a sale, refund or void as it was recorded. No I/O.

Every number is a JSON decimal made of whole minor units or of a decimal text, never of a float. The same entry with the
same products, buyer and setting gives the same bytes.

    total = sale value - discount + tax, in each item; the header's totals are the items' sums

The tax of goods on whose printed retail price it lies (Third Schedule) is the entry's own: a discount does not lower
it. What goes back is an invoice of its own with amounts above 0, which names the sale's reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from posline.core.checks import Body
from posline.core.fiscal import FiscalSetting
from posline.core.money import PRINTED, parse_quantity, parse_rate, round_half_up
from posline.core.sales import refund_figures, sale_figures

__all__ = ["Buyer", "Invoice", "NotFilable", "address_of", "payload"]

IMS_LOCAL = "http://localhost:8524/api/IMSFiscal/GetInvoiceNumberByModel"
IMS_CLOUD = {
    "sandbox": "https://esp.fbr.gov.pk:8244/FBR/v1/api/Live/PostData",
    "production": "https://gw.fbr.gov.pk/imsp/v1/api/Live/PostData",
}
DI = {
    "sandbox": "https://gw.fbr.gov.pk/di_data/v1/di/postinvoicedata_sb",
    "production": "https://gw.fbr.gov.pk/di_data/v1/di/postinvoicedata",
}
NEW, RETURN = 1, 3  # of an IMS invoice and its items
PRINTED_NEW, PRINTED_RETURN = 11, 12  # ... of items whose tax lies on the printed price
CASH, MIXED = 1, 5
PAYMENT_MODES = {"cash": CASH, "card": 2, "gift": 3, "loyalty": 4, "cheque": 6}
STANDARD, REDUCED, THIRD = "SN026", "SN028", "SN027"  # scenarios that fbr_di's sandbox wants named
_encode = msgspec.json.Encoder(decimal_format="number").encode

Product = Callable[[str], Mapping[str, Any] | None]


class NotFilable(ValueError):
    """The entry cannot be said in the service's form; the words say why and what to do."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who bought, where that is known; each a text, "" for none."""

    name: str = ""
    ntn: str = ""
    cnic: str = ""
    phone: str = ""
    address: str = ""
    province: str = ""


@dataclass(frozen=True, slots=True)
class Invoice:
    """What is to be filed: an entry's `kind` and `body` under the reference `usin`. A refund or void has the sale's
    body and reference, and the number under which the service has that sale, "" where it has none."""

    kind: str
    body: Body
    usin: str
    buyer: Buyer = Buyer()
    sale: Body | None = None
    sale_usin: str = ""
    sale_number: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    """An item in minor units: `gross` before discount and with its tax; quantities in thousandths."""

    sku: str
    name: str
    thousandths: int
    rate: str | None
    total: int
    tax: int
    discount: int
    printed: bool
    mrp: int
    code: str
    product: Mapping[str, Any]

    @property
    def value(self) -> int:
        """Without tax and before the discount."""
        return self.total - self.tax + self.discount


def address_of(setting: FiscalSetting) -> str:
    """Where invoices are sent. pra_eims has no address of its own here: its `url` must be set."""
    if setting.url:
        return setting.url
    if setting.adapter == "fbr_di":
        return DI[setting.mode]
    return IMS_CLOUD[setting.mode] if setting.cloud else IMS_LOCAL


def payload(setting: FiscalSetting, invoice: Invoice, product: Product) -> bytes:
    """The JSON that the service is sent. `product` gives the catalogue's product of a SKU as it stood at the sale.
    Raises NotFilable."""
    items = _items(invoice, product)
    for item in items:
        if item.value < 0:
            raise NotFilable(f"{item.sku} was sold for less than its tax: no service takes a value below 0")
    made = _di(setting, invoice, items) if setting.adapter == "fbr_di" else _ims(setting, invoice, items)
    return bytes(_encode(made))


# -- items -----------------------------------------------------------------------------------------


def _items(invoice: Invoice, product: Product) -> list[_Item]:
    if invoice.kind == "sale":
        return _sold(invoice.body, product)
    if invoice.sale is None:
        raise NotFilable("the sale that it takes back is not here yet")
    if invoice.kind == "void":
        return _sold(invoice.sale, product)
    sold = _sold(invoice.sale, product)
    back = []
    for line in invoice.body["lines"]:
        if line["line"] > len(sold):
            raise NotFilable(f"the sale has no line {line['line']}")
        item, quantity = sold[line["line"] - 1], parse_quantity(line["quantity"])
        # the part of the discount that stands beside this part of the total
        discount = round_half_up(item.discount * quantity, item.thousandths)
        back.append(
            _Item(item.sku, item.name, quantity, item.rate, line["total"], line.get("tax", 0), discount, item.printed,
                  item.mrp, item.code, item.product)
        )  # fmt: skip
    return back


def _sold(sale: Body, product: Product) -> list[_Item]:
    found = []
    for line, total in zip(sale["lines"], sale_figures(sale).lines, strict=True):
        known = product(line["sku"]) or {}
        name = line.get("name") or known.get("name") or line["sku"]
        found.append(
            _Item(line["sku"], str(name), parse_quantity(line["quantity"]), line.get("rate"), total,
                  line.get("tax", 0), line.get("discount", 0), line.get("mode") == PRINTED, line.get("mrp", 0),
                  line.get("class", ""), known)
        )  # fmt: skip
    return found


def _money(minor: int) -> Decimal:
    return Decimal(minor).scaleb(-2)


def _quantity(thousandths: int) -> Decimal:
    exact = Decimal(thousandths).scaleb(-3)
    whole = exact.to_integral_value()
    return whole if exact == whole else exact.normalize()


def _rate(rate: str | None) -> Decimal:
    """As a JSON number without zeros behind the point."""
    units = parse_rate(rate) if rate else 0
    exact = Decimal(units).scaleb(-4)
    whole = exact.to_integral_value()
    return whole if exact == whole else exact.normalize()


def _pct(setting: FiscalSetting, item: _Item) -> str:
    digits = "".join(c for c in str(item.product.get("hs_code") or "") if c.isascii() and c.isdigit())
    return digits if len(digits) == 8 else setting.pct_code


# -- fbr_ims and pra_eims --------------------------------------------------------------------------


def _ims(setting: FiscalSetting, invoice: Invoice, items: Sequence[_Item]) -> dict[str, Any]:
    returned, buyer = invoice.kind != "sale", invoice.buyer
    reference = invoice.sale_usin if returned else ""
    return {
        "InvoiceNumber": "",
        "POSID": setting.pos_id,
        "USIN": invoice.usin,
        "RefUSIN": reference,
        "DateTime": _at(invoice.body),
        "BuyerName": buyer.name,
        ("BuyerPNTN" if setting.adapter == "pra_eims" else "BuyerNTN"): buyer.ntn,
        "BuyerCNIC": buyer.cnic,
        "BuyerPhoneNumber": buyer.phone,
        "TotalBillAmount": _money(sum(item.total for item in items)),
        "TotalQuantity": _quantity(sum(item.thousandths for item in items)),
        "TotalSaleValue": _money(sum(item.value for item in items)),
        "TotalTaxCharged": _money(sum(item.tax for item in items)),
        "Discount": _money(sum(item.discount for item in items)),
        "FurtherTax": _money(0),
        "PaymentMode": _payment_mode(setting, invoice),
        "InvoiceType": RETURN if returned else NEW,
        "Items": [
            {
                "ItemCode": item.sku,
                "ItemName": item.name,
                "Quantity": _quantity(item.thousandths),
                "PCTCode": _pct(setting, item),
                "TaxRate": _rate(item.rate),
                "SaleValue": _money(item.value),
                "TotalAmount": _money(item.total),
                "TaxCharged": _money(item.tax),
                "Discount": _money(item.discount),
                "FurtherTax": _money(0),
                "InvoiceType": _item_type(item, returned),
                "RefUSIN": reference,
            }
            for item in items
        ],
    }


def _at(body: Body) -> str:
    return f"{body['at'][:10]} {body['at'][11:19]}"


def _item_type(item: _Item, returned: bool) -> int:
    if item.printed:
        return PRINTED_RETURN if returned else PRINTED_NEW
    return RETURN if returned else NEW


def _payment_mode(setting: FiscalSetting, invoice: Invoice) -> int:
    figures = sale_figures(invoice.body) if invoice.kind == "sale" else refund_figures(invoice.body)
    known = PAYMENT_MODES | dict(setting.payment_modes)
    other = setting.payment_modes.get("other", CASH)
    modes = {known.get(kind, other) for kind, amount in figures.net_tenders.items() if amount}
    if not modes:
        return CASH
    return modes.pop() if len(modes) == 1 else MIXED


# -- fbr_di ----------------------------------------------------------------------------------------


def _di(setting: FiscalSetting, invoice: Invoice, items: Sequence[_Item]) -> dict[str, Any]:
    returned, buyer, seller = invoice.kind != "sale", invoice.buyer, setting.seller
    if returned and not invoice.sale_number:
        raise NotFilable("a return names the number of its sale, which the service does not have yet")
    registered = buyer.ntn or ""
    made: dict[str, Any] = {
        "invoiceType": setting.return_type if returned else "Sale Invoice",
        "invoiceDate": invoice.body["at"][:10],
        "sellerNTNCNIC": seller.ntn,
        "sellerBusinessName": seller.name,
        "sellerProvince": seller.province,
        "sellerAddress": seller.address,
        "buyerNTNCNIC": registered or buyer.cnic,
        "buyerBusinessName": buyer.name or "Walk-in customer",
        "buyerProvince": buyer.province or seller.province,
        "buyerAddress": buyer.address or seller.address,
        "buyerRegistrationType": "Registered" if registered else "Unregistered",
        "invoiceRefNo": invoice.sale_number if returned else "",
    }
    if setting.mode == "sandbox":
        made["scenarioId"] = setting.scenario or _scenario(setting, items)
    made["items"] = [_di_item(setting, item) for item in items]
    return made


def _scenario(setting: FiscalSetting, items: Sequence[_Item]) -> str:
    if any(item.printed for item in items):
        return THIRD
    rates = {parse_rate(item.rate) for item in items if item.rate}
    return REDUCED if rates and max(rates) < parse_rate(setting.standard_rate) else STANDARD


def _di_item(setting: FiscalSetting, item: _Item) -> dict[str, Any]:
    code, product = _pct(setting, item), item.product
    return {
        "hsCode": f"{code[:4]}.{code[4:]}",
        "productDescription": item.name,
        "rate": f"{_rate(item.rate)}%" if item.rate is not None else "Exempt",
        "uoM": str(product.get("uom") or "Numbers, pieces, units"),
        "quantity": _quantity(item.thousandths),
        "totalValues": _money(item.total),
        "valueSalesExcludingST": _money(item.total - item.tax),
        "fixedNotifiedValueOrRetailPrice": _money(
            round_half_up(item.mrp * item.thousandths, 1000) if item.printed else 0
        ),
        "salesTaxApplicable": _money(item.tax),
        "salesTaxWithheldAtSource": _money(0),
        "extraTax": "",
        "furtherTax": _money(0),
        "sroScheduleNo": str(product.get("sro_schedule") or ""),
        "fedPayable": _money(0),
        "discount": _money(item.discount),
        "saleType": setting.sale_types.get(item.code) or _sale_type(setting, item),
        "sroItemSerialNo": str(product.get("sro_serial") or ""),
    }


def _sale_type(setting: FiscalSetting, item: _Item) -> str:
    if item.printed:
        return "3rd Schedule Goods"
    if item.rate is None:
        return "Exempt goods"
    units = parse_rate(item.rate)
    if units == 0:
        return "Goods at zero-rate"
    standard = parse_rate(setting.standard_rate)
    return "Goods at standard rate (default)" if units >= standard else "Goods at Reduced Rate"
