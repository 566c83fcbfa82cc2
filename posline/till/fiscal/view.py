"""What a receipt and the API show of one entry's filing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posline.core.entry import Entry
from posline.core.fiscal import State
from posline.till.metrics import Metric

if TYPE_CHECKING:
    from posline.storage.filed import Filed, FiledReports

__all__ = ["FiscalView", "filed_dict", "fiscal_metrics", "fiscal_view"]


@dataclass(frozen=True, slots=True)
class FiscalView:
    """What a receipt shows. `variant` is `plain` (nothing is filed), `accepted` (print `number` and `qr`), `offline`
    (it was issued offline, and will be filed) or `rejected`; `copy` that it is printed again. `qr` is what the QR
    holds; `usin` our reference with the service."""

    variant: str
    state: str
    adapter: str = ""
    filer: str = ""
    usin: str = ""
    number: str = ""
    qr: str = ""
    copy: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "variant": self.variant, "state": self.state, "adapter": self.adapter, "filer": self.filer,
            "usin": self.usin, "number": self.number, "qr": self.qr, "copy": self.copy,
        }  # fmt: skip


def fiscal_view(filed: FiledReports, entry: Entry, *, copy: bool = False) -> FiscalView:
    """How a receipt of this sale, refund or void shows its filing, as of the last commit. The number and QR come with a
    later entry, so a receipt that is printed at once says that it was issued offline."""
    found = filed.by_hash(entry.hash)
    if found is None:  # a copy that another till recorded stands for what counts
        same = [f for f in filed.named(entry.id) if f.kind == entry.kind]
        found = same[0] if len(same) == 1 else None
    if found is None or found.state is State.NONE:
        return FiscalView("plain", State.NONE.value, copy=copy)
    stands = filed.stands(found)
    variant = {State.ACCEPTED: "accepted", State.REJECTED: "rejected"}.get(stands.state, "offline")
    number = stands.number
    return FiscalView(
        variant, stands.state.value, stands.adapter, stands.filer, found.usin, number, stands.qr or number, copy
    )


def fiscal_metrics(status: Mapping[str, Any]) -> list[Metric]:
    """How filing goes, for Prometheus; nothing where nothing is filed."""
    if not status["on"] and not any(status["counts"].values()):
        return []
    counts = [({"state": state}, float(n)) for state, n in sorted(status["counts"].items())]
    overdue: list[tuple[dict[str, str], float]] = [({}, float(bool(status.get("overdue"))))]
    return [
        ("posline_fiscal_entries", "gauge", "Sales, refunds and voids by where they stand with the service", counts),
        ("posline_fiscal_overdue", "gauge", "Whether something should have been filed by now", overdue),
    ]


def filed_dict(filed: FiledReports, found: Filed) -> dict[str, Any]:
    """An entry of the queue, for people."""
    recorded, stands = filed.recorded(found), filed.stands(found)
    return {
        "id": found.id,
        "kind": found.kind,
        "receipt": recorded.receipt if found.kind != "void" else "",
        "sale": found.sale,
        "at": found.at,
        "state": found.state.value,
        "adapter": found.adapter,
        "filer": found.filer,
        "usin": found.usin,
        "number": stands.number,
        "code": stands.code,
        "errors": list(stands.errors),
        "tries": stands.tries,
        "alarms": list(stands.alarms),
    }
