"""The words printed on receipts, in English and Urdu. Pure."""

from __future__ import annotations

__all__ = ["LANGUAGES", "tender_name", "unit_name", "word"]

LANGUAGES = ("en", "ur")

_WORDS = {
    "address": ("Address", "پتہ"),
    "approved": ("Approved by", "منظوری"),
    "balance": ("Udhaar balance", "ادھار بقایا"),
    "cashier": ("Cashier", "کیشیئر"),
    "change": ("Change", "واپسی"),
    "copy": ("COPY", "نقل"),
    "customer": ("Customer", "گاہک"),
    "date": ("Date", "تاریخ"),
    "discount": ("Discount", "رعایت"),
    "discount_short": ("disc.", "رعایت"),
    "each_without_tax": ("each before tax", "فی عدد بغیر ٹیکس"),
    "fee": ("POS fee", "پی او ایس فیس"),
    "fiscal": ("Fiscal invoice", "ٹیکس انوائس"),
    "fiscal_offline": (
        "Issued offline. It will be filed when the connection is back.",
        "آف لائن جاری کی گئی۔ رابطہ بحال ہوتے ہی جمع کرا دی جائے گی۔",
    ),
    "goods_back": ("Goods returned", "واپس شدہ سامان"),
    "item": ("Item", "سامان"),
    "items": ("Items", "اشیاء"),
    "ntn": ("NTN", "این ٹی این"),
    "of_receipt": ("Original receipt", "اصل رسید"),
    "paid": ("Received", "وصول"),
    "payable": ("PAYABLE", "قابل ادائیگی"),
    "payment": ("Payment on account", "ادھار کی وصولی"),
    "phone": ("Phone", "فون"),
    "pos": ("POS reg.", "پی او ایس نمبر"),
    "previous": ("Balance before", "سابقہ بقایا"),
    "proof": ("Proof of this sale", "اس فروخت کا ثبوت"),
    "proof_part": ("Proof of this sale, part {} of {}", "اس فروخت کا ثبوت، حصہ {} از {}"),
    "reason": ("Reason", "وجہ"),
    "receipt": ("Receipt", "رسید"),
    "reference": ("ref.", "حوالہ"),
    "refund": ("REFUND", "واپسی"),
    "refunded": ("PAID BACK", "ادا کیا"),
    "rounding": ("Rounding", "راؤنڈنگ"),
    "rung": ("Rung", "فروخت کی تاریخ"),
    "rung_time": ("Rung at", "فروخت کا وقت"),
    "sales_tax_receipt": ("Sales receipt", "رسید فروخت"),
    "strn": ("STRN", "ایس ٹی آر این"),
    "subtotal": ("Subtotal", "میزان"),
    "tax": ("Tax", "ٹیکس"),
    "tax_included": ("Tax included", "ٹیکس شامل"),
    "tax_short": ("tax", "ٹیکس"),
    "till": ("Till", "کاؤنٹر"),
    "time": ("Time", "وقت"),
    "total": ("Total", "کل"),
    "value": ("Value before tax", "قیمت بغیر ٹیکس"),
    "void": ("VOID", "منسوخ"),
    "void_note": ("This sale was cancelled.", "یہ فروخت منسوخ کر دی گئی۔"),
}

_TENDERS = {
    "cash": ("Cash", "نقد"),
    "card": ("Card", "کارڈ"),
    "jazzcash": ("JazzCash", "جاز کیش"),
    "easypaisa": ("Easypaisa", "ایزی پیسہ"),
    "raast": ("Raast", "راست"),
    "account": ("Udhaar", "ادھار"),
    "store_credit": ("Store credit", "سٹور کریڈٹ"),
    "cheque": ("Cheque", "چیک"),
    "gift": ("Gift card", "گفٹ کارڈ"),
}

_UNITS = {  # as products name them; those that a receipt need not say are empty
    "piece": ("", ""),
    "each": ("", ""),
    "kg": ("kg", "کلو"),
    "g": ("g", "گرام"),
    "litre": ("l", "لیٹر"),
    "l": ("l", "لیٹر"),
    "ml": ("ml", "ملی لیٹر"),
    "metre": ("m", "میٹر"),
    "m": ("m", "میٹر"),
    "dozen": ("dozen", "درجن"),
}


def word(name: str, language: str) -> str:
    """A word of the receipt in `language`; English where it is not known. Raises KeyError for a word that is none."""
    return _WORDS[name][LANGUAGES.index(language) if language in LANGUAGES else 0]


def unit_name(unit: str, language: str) -> str:
    """How a unit of measure is written; one that is not known stands as it is."""
    known = _UNITS.get(unit)
    if known is None:
        return unit
    return known[LANGUAGES.index(language) if language in LANGUAGES else 0]


def tender_name(kind: str, language: str) -> str:
    """How a kind of payment is called; one that is not known is called by its own name."""
    known = _TENDERS.get(kind)
    if known is None:
        return kind.replace("_", " ").capitalize()
    return known[LANGUAGES.index(language) if language in LANGUAGES else 0]
