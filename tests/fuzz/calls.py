"""A known-good request for each route of a till, from which the spoilt ones are made; a head office's are in
`office_calls`.

The places in braces are filled in from what a run has recorded so far: `{sale}` is the id of a sale, and so on. A route
without an example here is found by the test that lists the routes of the applications.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from posline.till import pages

__all__ = ["TEA", "TILL", "Call", "filled", "routes_of"]

Body = Mapping[str, Any] | None


@dataclass(frozen=True)
class Call:
    """One route's example. `good` are the statuses that it may have unspoilt; `weight` how often it is tried. `body` is
    sent as JSON, `form` as a page sends its fields, `file` as it stands."""

    route: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Body = None
    good: tuple[int, ...] = (200,)
    weight: float = 1.0
    form: Body = None
    file: str = ""

    @property
    def method(self) -> str:
        """The route's method."""
        return self.route.partition(" ")[0]


TEA: dict[str, Any] = {"sku": "TEA", "name": "Tea", "quantity": "2", "price": 250}
LINES: list[dict[str, Any]] = [TEA, {"sku": "OIL", "quantity": 1.5}, {"sku": "COLA", "quantity": "3", "discount": 10}]
SALE: dict[str, Any] = {
    "id": "{new}",
    "lines": LINES,
    "by": "Asma",
    "tenders": [{"kind": "cash", "amount": 5000}, {"kind": "card", "amount": 10, "reference": "x1"}],
    "customer": "{customer}",
    "note": "to go",
}
ID: dict[str, Any] = {"id": "{new}", "by": "Asma"}
LIST = {"after": "", "limit": "20"}

TILL: tuple[Call, ...] = (
    Call("POST /api/sales", "/api/sales", body=SALE, good=(201,), weight=8),
    Call("GET /api/sales", "/api/sales", LIST | {"day": "{day}", "till": "{till}", "order": "newest"}),
    Call("GET /api/sales/{wanted}", "/api/sales/{sale}"),
    Call("GET /api/sales/{wanted}/returns", "/api/sales/{sale}/returns"),
    Call(
        "POST /api/sales/{wanted}/refund",
        "/api/sales/{sale}/refund",
        good=(201, 409),
        weight=3,
        body=ID
        | {
            "reason": "broken",
            "lines": [{"line": 1, "quantity": "0.5"}],
            "tenders": [{"kind": "cash", "amount": 125}],
            "restock": False,
        },
    ),
    Call(
        "POST /api/sales/{wanted}/void",
        "/api/sales/{sale}/void",
        body=ID | {"reason": "wrong customer"},
        good=(201, 409),
    ),
    Call("GET /api/refunds", "/api/refunds", LIST | {"day": "{day}"}),
    Call("GET /api/refunds/{wanted}", "/api/refunds/{refund}"),
    Call("GET /api/fiscal", "/api/fiscal", {"limit": "5", "all": "true"}),
    Call("GET /api/fiscal/{wanted}", "/api/fiscal/{sale}"),
    Call("POST /api/shifts/open", "/api/shifts/open", body=ID | {"float": 5000, "note": "n"}, good=(201, 409)),
    Call(
        "POST /api/shifts/close",
        "/api/shifts/close",
        body=ID | {"counted": {"cash": 5000, "card": 10}, "note": "n"},
        good=(201, 409),
    ),
    Call("GET /api/shifts/current", "/api/shifts/current", {"format": "json"}, good=(200, 404)),
    Call("GET /api/shifts/{id}", "/api/shifts/{shift}", {"format": "csv"}),
    Call("GET /api/shifts", "/api/shifts", {"day": "{day}"}),
    Call("POST /api/cash", "/api/cash", body=ID | {"direction": "out", "amount": 500, "reason": "milk"}, good=(201,)),
    Call("POST /api/days/{day}/close", "/api/days/{day}/close", body=ID, good=(200, 201, 409), weight=0.2),
    Call("GET /api/cashiers", "/api/cashiers"),
    Call(
        "PUT /api/cashiers/{name}",
        "/api/cashiers/Asma",
        body=ID | {"role": "cashier", "active": True, "language": "ur"},
        weight=0.4,
    ),
    Call("POST /api/cashiers/{name}/check", "/api/cashiers/Bilal/check", body={"pin": "4711"}, weight=0.2),
    Call("POST /api/time", "/api/time", body=ID | {"time": "{now}"}, weight=0.2, good=(200, 409, 422)),
    Call("GET /api/settings", "/api/settings"),
    Call("GET /api/settings/{name}", "/api/settings/tax"),
    Call("PUT /api/settings/{name}", "/api/settings/{setting}", body=ID | {"value": "{value}"}, weight=2),
    Call("POST /api/session", "/api/session", body={"id": "{new}", "by": "Bilal", "pin": "4711"}, weight=0.2),
    Call("GET /api/session", "/api/session"),
    Call("DELETE /api/session", "/api/session"),
    Call(
        "POST /api/invite",
        "/api/invite",
        body=ID | {"approve": {"by": "Bilal", "pin": "4711"}},
        weight=0.2,
        good=(201,),
    ),
    Call("GET /api/hosting", "/api/hosting"),
    Call("PUT /api/hosting", "/api/hosting", body={"on": False, "approve": {"by": "Bilal", "pin": "4711"}}, weight=0.2),
    Call(
        "POST /api/hosting/invite",
        "/api/hosting/invite",
        body=ID | {"approve": {"by": "Bilal", "pin": "4711"}},
        weight=0.2,
        good=(201, 409),
    ),
    Call(
        "POST /api/hosting/devices/{device}/remove",
        "/api/hosting/devices/nobody/remove",
        body=ID | {"approve": {"by": "Bilal", "pin": "4711"}},
        weight=0.2,
        good=(404,),
    ),
    Call(
        "POST /api/hosting/requests/{device}",
        "/api/hosting/requests/nobody",
        body=ID | {"let_in": True, "approve": {"by": "Bilal", "pin": "4711"}},
        weight=0.2,
        good=(404,),
    ),
    Call(
        "PUT /api/hosting/trust-office",
        "/api/hosting/trust-office",
        body={"on": False, "approve": {"by": "Bilal", "pin": "4711"}},
        weight=0.2,
    ),
    Call("GET /api/scan", "/api/scan", {"code": "8964000000001"}),
    Call("GET /api/raast", "/api/raast", {"amount": "1500", "format": "svg"}),
    Call("GET /api/qr", "/api/qr", {"text": "posline", "scale": "3"}),
    Call("GET /api/receipts/{wanted}", "/api/receipts/{sale}", {"format": "text", "language": "ur", "copy": "1"}),
    Call("GET /api/print", "/api/print"),
    Call(
        "POST /api/print", "/api/print", body=ID | {"entry": "{sale}", "copy": True, "language": "en"}, good=(202, 409)
    ),
    Call("POST /api/drawer", "/api/drawer", body=ID | {"reason": "change"}, good=(202, 409)),
    Call("POST /api/restore", "/api/restore", body={"id": "{new}", "code": "{codes}"}, good=(200,)),
    Call(
        "POST /api/stock",
        "/api/stock",
        body=ID
        | {
            "moves": [
                {"sku": "TEA", "quantity": "10.5", "reason": "came"},
                {"sku": "OIL", "quantity": -1, "reason": "spoilt"},
            ],
            "note": "n",
        },
        good=(201,),
    ),
    Call("GET /api/stock", "/api/stock", LIST | {"sku": "TEA", "low": "1"}),
    Call("GET /api/holds", "/api/holds", {"recalled": "1"}),
    Call(
        "POST /api/holds",
        "/api/holds",
        body=ID | {"name": "Table 4", "cart": {"lines": LINES, "customer": ""}},
        good=(201,),
    ),
    Call("GET /api/holds/{hold}", "/api/holds/{hold}"),
    Call("POST /api/holds/{hold}/recall", "/api/holds/{hold}/recall", body=ID, good=(201, 409)),
    Call("POST /api/holds/{hold}/drop", "/api/holds/{hold}/drop", body=ID, good=(201, 409)),
    Call("GET /api/customers", "/api/customers", LIST | {"q": "bil", "owing": ""}),
    Call(
        "POST /api/customers",
        "/api/customers",
        good=(201,),
        body=ID
        | {
            "name": "Bilal",
            "phone": "0300",
            "ntn": "1",
            "cnic": "2",
            "address": "a",
            "limit": 5000,
            "note": "n",
            "active": True,
        },
    ),
    Call("GET /api/customers/{customer}", "/api/customers/{customer}"),
    Call("PUT /api/customers/{customer}", "/api/customers/{customer}", body=ID | {"phone": "0301", "limit": None}),
    Call(
        "GET /api/customers/{customer}/statement",
        "/api/customers/{customer}/statement",
        {"after": "0", "limit": "20", "from": "{day}", "to": "{day}"},
    ),
    Call(
        "POST /api/payments",
        "/api/payments",
        good=(201,),
        body=ID | {"customer": "{customer}", "amount": 500, "tenders": [{"kind": "cash", "amount": 500}], "note": "n"},
    ),
    Call(
        "GET /api/products",
        "/api/products",
        LIST | {"q": "tea", "barcode": "", "department": "", "retired": "1", "favourites": ""},
    ),
    Call("GET /api/products/{sku:path}", "/api/products/TEA"),
    Call(
        "PUT /api/products/{sku:path}",
        "/api/products/OIL",
        weight=2,
        body=ID
        | {
            "name": "Oil",
            "price": 1180,
            "tax": "standard",
            "barcodes": ["1", "2"],
            "favourite": "1/2",
            "labels": {"a": "b"},
            "low_stock": "2.5",
            "mrp": 1200,
        },
    ),
    Call("GET /api/departments", "/api/departments"),
    Call("GET /api/conflicts", "/api/conflicts"),
    Call("GET /api/reports/day/{day}", "/api/reports/day/{day}", {"format": "json", "from": "{day}", "to": "{day}"}),
    Call("GET /api/reports/{kind}", "/api/reports/{report}", {"format": "csv", "from": "{day}", "to": "{day}"}),
    Call("GET /api/catalogue", "/api/catalogue", {"have": "", "after": "", "limit": "50"}),
    Call("GET /api/shop", "/api/shop"),
    Call("GET /api/status", "/api/status"),
    Call("GET /api/events", "/api/events"),
    Call("GET /healthz", "/healthz"),
    Call("GET /metrics", "/metrics"),
    Call("POST /api/local/{command}", "/api/local/report_shift", body={}, good=(200,)),
)

def routes_of(app: Starlette) -> set[str]:
    """Every "METHOD /path" that an application answers: the files of its pages aside."""
    return {
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, Route) and route.endpoint.__module__ != pages.__name__
        for method in (route.methods or set()) - {"HEAD"}
    }


def filled(value: Any, places: Mapping[str, Any], rng: Random) -> Any:
    """An example with what stands in braces put in."""
    if isinstance(value, str):
        if value == "{new}":
            return str(uuid.UUID(int=rng.getrandbits(128), version=4))
        if value[:1] == "{" and value[1:-1] in places:
            found = places[value[1:-1]]
            return rng.choice(found) if isinstance(found, list) else found
        for name, found in places.items():
            if "{" + name + "}" in value:
                value = value.replace("{" + name + "}", str(rng.choice(found) if isinstance(found, list) else found))
        return value
    if isinstance(value, Mapping):
        return {name: filled(item, places, rng) for name, item in value.items()}
    return [filled(item, places, rng) for item in value] if isinstance(value, list) else value
