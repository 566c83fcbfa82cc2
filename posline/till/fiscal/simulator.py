"""A fiscal service to try against: answers as the real ones are said to, well or badly as its script says, and keeps a
ledger of what it accepted, so that a sale filed twice can be seen.

It speaks HTTP by hand: a service that hangs, cuts the line, or is away is what it is for.

    GET  /api/IMSFiscal/get                              "Service is responding"
    POST /api/IMSFiscal/GetInvoiceNumberByModel          fbr_ims
    POST /pra/api/IMSFiscal/GetInvoiceNumberByModel      pra_eims
    POST /di_data/v1/di/postinvoicedata, ..._sb          fbr_di
    GET  /inquiry?usin=REFERENCE                         what a gateway may tell of a reference
    GET  /ledger                                         what was accepted, and which references more than once
    POST /script   ["accept", "timeout-after", ...]      how the next invoices are answered; then as at first
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from posline.errors import BadRequest

__all__ = ["BEHAVIOURS", "Simulator", "serve"]

BEHAVIOURS = (
    "accept",  # 100 as a number
    "accept-text",  # 100 as a text
    "reject",  # HTTP 200 with another code
    "empty",  # 100 and no number
    "timeout-before", "timeout-after",  # no answer: before accepting, after accepting
    "cut-before", "cut-after",  # the line is cut: before accepting, after accepting
    "down",  # 503: not at work
    "unauthorised",  # 401
    "error",  # 500 with a page
)  # fmt: skip
BODY_BYTES_MAX = 4 * 1024 * 1024
READ_S = 10.0
HANG_S = 600.0  # how long a time-out lasts: longer than anybody waits
RECEIVED, GONE = "Invoice received successfully", "The record is not valid"


class Simulator:
    """One simulated service. `token` is the one that must be presented, "" for none."""

    def __init__(self, behaviours: Iterable[str] = (), *, usually: str = "accept", token: str = "") -> None:
        self.accepted: list[dict[str, Any]] = []
        self.requests = 0  # invoices that came, whatever became of them
        self.usually, self._token = usually, token
        self.script: deque[str] = deque()
        self.plan(behaviours)
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[Any]] = set()
        self.port = 0

    def plan(self, behaviours: Iterable[str]) -> None:
        """Answer the next invoices so, one behaviour each. Raises BadRequest."""
        wanted = list(behaviours)
        for each in [*wanted, self.usually]:
            if each not in BEHAVIOURS:
                raise BadRequest.of("script", f"{str(each)[:40]!r} is none of {', '.join(BEHAVIOURS)}")
        self.script.extend(wanted)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def duplicates(self) -> dict[str, int]:
        """References that were accepted more than once, and how often."""
        return {usin: n for usin, n in Counter(entry["usin"] for entry in self.accepted).items() if n > 1}

    async def start(self, port: int = 0) -> None:
        """Answer on loopback from now on."""
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away: connections are refused until the next start. What was accepted stays known."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in list(self._talking):
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)

    # -- HTTP ----------------------------------------------------------------------------------------------------------

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            async with asyncio.timeout(READ_S):
                method, target, headers, body = await _read(reader)
            answer = await self._answer(method, target, headers, body)
            if answer is not None:
                status, said = answer
                text = said if isinstance(said, bytes) else json.dumps(said).encode()
                head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n"
                writer.write(head.encode() + b"connection: close\r\n\r\n" + (b"" if method == "HEAD" else text))
                await writer.drain()
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, or speaks no HTTP
        finally:
            self._talking.discard(task)
            writer.close()

    async def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Any] | None:
        """(status, what is said); None cuts the line."""
        parts = urlsplit(target)
        if method == "GET" and parts.path.endswith("/IMSFiscal/get"):
            return 200, ["Service is responding"]
        if method == "GET" and parts.path == "/ledger":
            return 200, {"accepted": self.accepted, "duplicates": self.duplicates, "requests": self.requests}
        if method == "GET" and parts.path == "/inquiry":
            usin = parse_qs(parts.query).get("usin", [""])[0]
            found = [entry for entry in self.accepted if entry["usin"] == usin]
            return (200, {"found": True, "InvoiceNumber": found[0]["number"]}) if found else (404, {"found": False})
        if method == "POST" and parts.path == "/script":
            try:
                self.plan(json.loads(body))
            except (BadRequest, ValueError, TypeError) as error:
                return 422, {"detail": str(error)}
            return 200, {"script": list(self.script)}
        if method != "POST":
            return 405, {"detail": "invoices are posted"}
        if self._token and headers.get("authorization") != f"Bearer {self._token}":
            return 401, {"fault": "Invalid Credentials"}
        return await self._invoice("di_data" in parts.path, body)

    async def _invoice(self, di: bool, body: bytes) -> tuple[int, Any] | None:
        self.requests += 1
        behaviour = self.script.popleft() if self.script else self.usually
        match behaviour:
            case "down":
                return 503, {"fault": "not at work"}
            case "unauthorised":
                return 401, {"fault": "Invalid Credentials"}
            case "error":
                return 500, b"<html>Runtime Error</html>"
            case "timeout-before":
                await asyncio.sleep(HANG_S)
                return None
            case "cut-before":
                return None
            case _:
                pass
        try:
            said = json.loads(body, parse_float=Decimal)
            wrong = _wrong_di(said) if di else _wrong_ims(said)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            said, wrong = {}, f"cannot be read ({type(error).__name__})"
        if behaviour == "reject":
            wrong = wrong or GONE
        if wrong:
            return 200, _rejected(di, wrong)
        number = self._take(di, said, body)
        match behaviour:
            case "timeout-after":
                await asyncio.sleep(HANG_S)
                return None
            case "cut-after":
                return None
            case "empty":
                return 200, _accepted(di, "", 100)
            case "accept-text":
                return 200, _accepted(di, number, "100")
            case _:
                return 200, _accepted(di, number, 100)

    def _take(self, di: bool, said: dict[str, Any], body: bytes) -> str:
        # an invoice of fbr_di names no reference of ours: it is known again by what it says
        usin = hashlib.sha256(body).hexdigest() if di else str(said["USIN"])
        serial = len(self.accepted) + 1
        number = f"7000007DI{serial:010d}" if di else f"{said['POSID']}{serial:014d}"
        total = sum(item["totalValues"] for item in said["items"]) if di else said["TotalBillAmount"]
        self.accepted.append({
            "usin": usin, "number": number, "total": str(total),
            "type": str(said.get("invoiceType", said.get("InvoiceType"))), "ref": said.get("RefUSIN", ""),
        })  # fmt: skip
        return number


async def _read(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs if name}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= BODY_BYTES_MAX:
        raise ValueError("too long")
    return method, target, headers, await reader.readexactly(length)


def _wrong_ims(said: dict[str, Any]) -> str:
    """What a service would find wrong with an invoice, "" for nothing."""
    items = said["Items"]
    if not items or not 0 < len(said["USIN"]) <= 50 or type(said["POSID"]) is not int:
        return "USIN, POSID or Items are missing"
    for header, item in (
        ("TotalBillAmount", "TotalAmount"), ("TotalSaleValue", "SaleValue"), ("TotalTaxCharged", "TaxCharged"),
        ("Discount", "Discount"), ("TotalQuantity", "Quantity"),
    ):  # fmt: skip
        if said[header] != sum(each[item] for each in items):
            return f"{header} is not the sum of the items"
    for each in items:
        if each["TotalAmount"] != each["SaleValue"] - each["Discount"] + each["TaxCharged"] + each["FurtherTax"]:
            return f"the amounts of {each['ItemCode']} do not agree"
        if min(each[name] for name in ("SaleValue", "TotalAmount", "TaxCharged", "Quantity", "Discount")) < 0:
            return f"an amount of {each['ItemCode']} is below 0"
        if len(each["PCTCode"]) != 8 or each["InvoiceType"] not in (1, 3, 11, 12):
            return f"PCTCode or InvoiceType of {each['ItemCode']} is none"
    returned = said["InvoiceType"] == 3
    return "a return names no RefUSIN" if returned and not said["RefUSIN"] else ""


def _wrong_di(said: dict[str, Any]) -> str:
    for name in ("invoiceType", "invoiceDate", "sellerNTNCNIC", "sellerBusinessName", "buyerRegistrationType"):
        if not said[name]:
            return f"{name} is missing"
    for each in said["items"]:
        if each["totalValues"] != each["valueSalesExcludingST"] + each["salesTaxApplicable"]:
            return f"the amounts of {each['productDescription']} do not agree"
        if len(each["hsCode"]) != 9 or each["extraTax"] != "":
            return f"hsCode or extraTax of {each['productDescription']} is none"
    returned = said["invoiceType"] != "Sale Invoice"
    return "a return names no invoiceRefNo" if returned and not said["invoiceRefNo"] else ""


def _accepted(di: bool, number: str, code: int | str) -> dict[str, Any]:
    if di:
        item = {"itemSNo": "1", "statusCode": "00", "status": "Valid", "invoiceNo": number, "error": ""}
        response = {"statusCode": "00", "status": "Valid", "error": "", "invoiceStatuses": [item]}
        return {"invoiceNumber": number, "dated": "2026-01-01 00:00:00", "validationResponse": response}
    return {"InvoiceNumber": number, "Code": code, "Response": RECEIVED, "Errors": None}


def _rejected(di: bool, why: str) -> dict[str, Any]:
    if di:
        item = {"itemSNo": "1", "statusCode": "01", "status": "Invalid", "errorCode": "0046", "error": why}
        response = {"statusCode": "01", "status": "Invalid", "error": "", "invoiceStatuses": [item]}
        return {"dated": "2026-01-01 00:00:00", "validationResponse": response}
    return {"InvoiceNumber": "Not Available", "Code": "104", "Response": "Rejected", "Errors": [why]}


async def serve(simulator: Simulator) -> None:
    """Let a started simulator run until this is cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        await simulator.stop()
