"""A known-good request for each route and page of a head office, as `calls` has them of a till."""

from __future__ import annotations

from typing import Any

from tests.fuzz.calls import Call

__all__ = ["HEAD_OFFICE"]

SPAN = {"from": "{day}", "to": "{day}"}
OURS: dict[str, Any] = {"csrf": "{csrf}"}  # what every form of a page carries
PASSWORD: dict[str, Any] = {"password": "{password}", "again": "{password}"}
PRICE = {"name": "Tea", "price": 260, "barcode": "8964000000001", "tax": "standard", "mrp": 300}
PRICES_CSV = "sku,name,price\nTEA,Tea,2.60\nOIL,Oil,11.80\n"
WEBHOOK = {"url": "{hook}", "shops": ["{shop}"], "kinds": ["sale", "refund"], "batch": 10}

SHOPS = (
    Call("GET /api/shops", "/api/shops"),
    Call("GET /api/shops/{shop}/reports/day/{day}", "/api/shops/{shop}/reports/day/{day}", {"format": "json"}),
    Call("GET /api/shops/{shop}/reports/{kind}", "/api/shops/{shop}/reports/{report}", {"format": "csv"} | SPAN),
    Call(
        "GET /api/shops/{shop}/sales",
        "/api/shops/{shop}/sales",
        {"after": "0", "limit": "20", "day": "{day}", "till": "{till}", "order": "newest"},
    ),
    Call("GET /api/shops/{shop}/sales/{wanted}", "/api/shops/{shop}/sales/{sale}"),
    Call("GET /api/feed", "/api/feed", {"after": "0", "limit": "100"}),
    Call("GET /healthz", "/healthz"),
    Call("GET /readyz", "/readyz"),
    Call("GET /metrics", "/metrics"),
    Call("GET /live", "/live", {"from": "0"}),
)

NUMBERS = (
    Call("GET /api/export/{what}", "/api/export/{export}", {"format": "csv", "shop": "{shop}"} | SPAN),
    Call("GET /api/shops/{shop}/export/{what}", "/api/shops/{shop}/export/{export}", {"format": "jsonl"} | SPAN),
    Call("GET /api/accounting", "/api/accounting", {"shop": "{shop}"} | SPAN),
    Call("GET /api/shops/{shop}/accounting", "/api/shops/{shop}/accounting", SPAN),
    Call("GET /api/shops/{shop}/accounting/{day}", "/api/shops/{shop}/accounting/{day}"),
    Call(
        "POST /api/shops/{shop}/accounting/{day}/postings",
        "/api/shops/{shop}/accounting/{day}/postings",
        body={"after": None, "provisional": True},
    ),
    Call("GET /api/shops/{shop}/accounting/{day}/postings", "/api/shops/{shop}/accounting/{day}/postings"),
    Call("GET /api/shops/{shop}/postings", "/api/shops/{shop}/postings", SPAN),
    Call("GET /api/accounts", "/api/accounts"),
    Call("PUT /api/accounts/{what}", "/api/accounts/{account}", body={"account": "6100", "name": "Kitchen"}),
    Call("DELETE /api/accounts/{what}", "/api/accounts/{account}"),
)

WEBHOOKS = (
    Call("GET /api/webhooks", "/api/webhooks"),
    Call("POST /api/webhooks", "/api/webhooks", body=WEBHOOK | {"after": "0"}, good=(201,)),
    Call("GET /api/webhooks/{id}", "/api/webhooks/{webhook}"),
    Call("PATCH /api/webhooks/{id}", "/api/webhooks/{webhook}", body=WEBHOOK | {"active": False}),
    Call("POST /api/webhooks/{id}/rotate", "/api/webhooks/{webhook}/rotate"),
    Call("POST /api/webhooks/{id}/replay", "/api/webhooks/{webhook}/replay", body={"after": "0"}),
    Call("GET /api/webhooks/{id}/dead", "/api/webhooks/{webhook}/dead"),
    # none was given up: whoever names one is told that it is not there
    Call("POST /api/webhooks/{id}/dead/requeue", "/api/webhooks/{webhook}/dead/requeue", body={"numbers": None}),
    Call(
        "POST /api/webhooks/{id}/dead/discard", "/api/webhooks/{webhook}/dead/discard", body={"numbers": [1]},
        good=(404,),
    ),
    Call("DELETE /api/webhooks/{id}", "/api/webhooks/{webhook}"),
)  # fmt: skip

PRICES = (
    Call("GET /api/prices", "/api/prices"),
    Call("GET /api/prices/items", "/api/prices/items", {"list": "{list}", "q": "tea", "limit": "20", "drafts": "1"}),
    Call(
        "PUT /api/prices/items/{sku:path}",
        "/api/prices/items/TEA",
        body=PRICE | {"list": "all", "why": "dearer"},
        weight=3,
    ),
    Call("GET /api/prices/preview", "/api/prices/preview"),
    Call("POST /api/prices/publish", "/api/prices/publish", body={"lists": ["all"], "why": "dearer"}, good=(202,)),
    Call("POST /api/prices/discard", "/api/prices/discard", body={"lists": ["all"]}),
    Call("PUT /api/prices/import", "/api/prices/import", {"list": "all", "why": "w", "dry_run": "0"}, file=PRICES_CSV),
    Call("GET /api/prices/export", "/api/prices/export", {"list": "{list}"}),
    Call("GET /api/prices/history", "/api/prices/history", {"sku": "TEA", "limit": "20"}),
    Call("GET /api/prices/status", "/api/prices/status"),
    Call("GET /api/prices/shops/{shop}", "/api/prices/shops/{shop}", {"after": "", "limit": "20"}),
    Call("POST /api/prices/shops/{shop}", "/api/prices/shops/{shop}", body={"why": "look again"}, good=(202,)),
    Call("GET /api/prices/groups", "/api/prices/groups"),
    Call("PUT /api/prices/groups/{group}", "/api/prices/groups/{group}", body={"shops": ["{shop}"]}),
    Call("PUT /api/prices/policy", "/api/prices/policy", body={"list": "{list}", "differ": True}),
    Call("DELETE /api/prices/groups/{group}", "/api/prices/groups/{group}"),
)

# what people look at
PAGES = (
    Call("GET /sign-in", "/sign-in", {"next": "/reports"}, good=(303,)),
    Call("GET /first", "/first"),
    Call("GET /account", "/account", {"said": "password_changed"}),
    Call("GET /", "/", {"q": "fuzz", "light": "green", "state": "", "alarms": "", "sort": "name", "way": "back"}),
    Call("GET /shops/{shop}", "/shops/{own}", SPAN),
    Call("GET /shops/{shop}/days/{day}", "/shops/{own}/days/{day}", {"after": "0", "limit": "20"}),
    Call("GET /shops/{shop}/days/{day}/tills/{till}", "/shops/{own}/days/{day}/tills/{till}", {"after": "0"}),
    Call("GET /shops/{shop}/entries/{hash}", "/shops/{own}/entries/{hash}"),
    Call("GET /search", "/search", {"q": "{receipt}", "amount": "500.00", "shop": "{own}"} | SPAN),
    Call("GET /reports", "/reports", {"by": "product", "currency": "PKR", "shop": "{own}", "format": "csv"} | SPAN),
    Call("GET /alarms", "/alarms", {"kind": "refused", "shop": "{own}", "after": "0", "format": "html"}),
    Call("GET /prices", "/prices"),
    Call("GET /prices/list", "/prices/list", {"list": "{list}", "q": "tea", "after": ""}),
    Call("GET /prices/item", "/prices/item", {"list": "{list}", "sku": "TEA"}),
    Call("GET /prices/import", "/prices/import"),
    Call("GET /prices/preview", "/prices/preview"),
    Call("GET /prices/shops/{shop}", "/prices/shops/{own}", {"after": ""}),
    Call("GET /office/shops", "/office/shops"),
    Call("GET /office/shops/{shop}", "/office/shops/{own}"),
    Call("GET /office/people", "/office/people"),
    Call("GET /office/people/{person}", "/office/people/{person}"),
    Call("GET /office/tokens", "/office/tokens"),
    Call("GET /office/audit", "/office/audit", {"before": "{line}"}),
)

# what they send; after each the browser is led on, or shown a secret
FORMS = (
    Call("POST /language", "/language", form=OURS | {"language": "ur", "next": "/account"}, good=(303,)),
    Call(
        "POST /alarms/note",
        "/alarms/note",
        form=OURS | {"shop": "{own}", "name": "{alarm}", "note": "n"},
        good=(303,),
    ),
    Call(
        "POST /prices/item",
        "/prices/item",
        form=OURS | {"list": "all", "sku": "TEA", "name": "Tea", "price": "270", "mrp": "", "from": "", "why": "w"},
        good=(303,),
        weight=3,
    ),
    Call("PUT /prices/import", "/prices/import", {"list": "all", "why": "w", "dry_run": "1"}, file=PRICES_CSV),
    Call("POST /prices/publish", "/prices/publish", form=OURS | {"list": "all", "why": "w"}, good=(303,)),
    Call("POST /prices/discard", "/prices/discard", form=OURS | {"list": "all"}, good=(303,)),
    Call("POST /prices/policy", "/prices/policy", form=OURS | {"list": "{list}", "differ": "1"}, good=(303,)),
    Call("POST /prices/group", "/prices/group", form=OURS | {"group": "{group}", "shop": "{own}"}, good=(303,)),
    Call("POST /prices/shops/{shop}", "/prices/shops/{own}", form=OURS, good=(303,)),
    Call("POST /office/shops/invite", "/office/shops/invite", form=OURS | {"alias": "Harbour", "expires": "1h"}),
    Call(
        "POST /office/shops/{shop}/rename",
        "/office/shops/{spare}/rename",
        form=OURS | {"alias": "Mall"},
        good=(303,),
    ),
    Call(
        "POST /office/shops/{shop}/devices",
        "/office/shops/{own}/devices",
        form=OURS | {"label": "WEB"},
        good=(200, 403),
    ),
    Call(
        "POST /office/shops/{shop}/devices/{device}/remove",
        "/office/shops/{own}/devices/{device}/remove",
        form=OURS,
        good=(303,),
    ),
    Call("POST /office/shops/{shop}/remove", "/office/shops/{spare}/remove", form=OURS, good=(303,)),
    Call(
        "POST /office/people",
        "/office/people",
        form=OURS | {"name": "{new}", "role": "manager", "every": "0", "shop": "{own}"},
    ),
    Call(
        "POST /office/people/{person}",
        "/office/people/{person}",
        form=OURS | {"role": "reader", "every": "1"},
        good=(303,),
    ),
    Call("POST /office/people/{person}/password", "/office/people/{person}/password", form=OURS),
    Call("POST /office/people/{person}/token", "/office/people/{person}/token", form=OURS),
    Call("POST /office/people/{person}/remove", "/office/people/{person}/remove", form=OURS, good=(303,)),
    Call(
        "POST /office/tokens",
        "/office/tokens",
        form=OURS | {"name": "ERP", "shop": "{own}", "role": "write", "author": "{till}"},
    ),
    Call("POST /office/tokens/revoke", "/office/tokens/revoke", form=OURS | {"id": "{token}"}, good=(303,)),
    Call(
        "POST /account/password",
        "/account/password",
        form=OURS | PASSWORD | {"old": "{password}"},
        good=(303,),
    ),
    Call("POST /account/session", "/account/session", form=OURS | {"id": "{seat}"}, good=(303,)),
    Call("POST /account/sign-out", "/account/sign-out", form=OURS, good=(303,)),
    Call(
        "POST /sign-in",
        "/sign-in",
        form=OURS | {"name": "Asma", "password": "{password}", "next": "/reports"},
        good=(303,),
        weight=0.5,
    ),
    Call("POST /first", "/first", form=OURS | PASSWORD | {"token": "{first}"}, good=(303,), weight=0.5),
    Call("POST /sign-out", "/sign-out", form=OURS, good=(303,)),
)

HEAD_OFFICE: tuple[Call, ...] = SHOPS + NUMBERS + WEBHOOKS + PRICES + PAGES + FORMS
