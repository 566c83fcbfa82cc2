"""What must hold of a folder that lay on a disk whose power went, once the program is started on it.

Runs in a process of its own, forked from one in which the program is loaded. It opens the folder as `posline till` and
its commands do and asks it through the HTTP API's application, without a socket. What it compares with is what had left
over the wire, and the entries' own bytes, read with nothing of the ledger's code.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from posline.errors import PoslineError
from posline.storage.connection import reader
from posline.storage.folder import Folder
from posline.storage.verify import verify
from posline.till.api import build_app
from posline.till.asking import AskFailed
from posline.till.commands import COMMANDS
from posline.till.invitation import Invitation
from posline.till.keeping import restore
from posline.till.local import Local
from posline.till.offline import join_folder, restore_folder
from posline.till.opening import RECOVERY_FILE
from posline.till.printing import DATABASE
from posline.till.till import Till, open_till
from posline.trust.certificate import KEY_FILE, own_certificate
from posline.trust.keys import Key
from tests.faults.rig import wait_for
from tests.power.acts import Act
from tests.power.recording import BACKUP, DATA

__all__ = ["Expected", "broken_promises"]

NUMBERED = ("sale", "refund")
KINDS = {  # the acts that leave one entry under the caller's id
    "/api/sales": "sale", "/api/shifts/open": "shift opened", "/api/shifts/close": "shift closed", "/api/cash": "cash",
    "/api/stock": "stock", "refund": "refund", "void": "void", "close": "day closed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expected:
    """What had been answered before the cut (`due`), in order, and what had been asked for and not answered (`asked`).
    `held` are the entries, (kind, id), that the folder held before anything was recorded; `tls_key` is what others
    know it by once it was ready. With `restored` a backup that is there is restored, too."""

    due: Sequence[Act]
    asked: Sequence[Act]
    held: Sequence[tuple[str, str]] = ()
    tls_key: bytes = b""
    restored: bool = False


def broken_promises(disk: Path, expected: Expected) -> list[str]:
    """Start the program on what is left of the disk, use it, and name each promise that it does not keep."""
    problems: list[str] = []
    data = disk / DATA
    _finish_commands(data, expected, problems)
    if not problems:
        asyncio.run(_use(disk, data, expected, problems))
    return problems


def _finish_commands(data: Path, expected: Expected, problems: list[str]) -> None:
    """A command that was cut off is given again, as its user does."""
    for act in expected.asked:
        if act.path != "command":
            continue
        if act.body["command"] == "restore":
            if not (data / "key").exists():
                restore_folder(
                    data, Path(act.body["file"]), recovery=act.body["recovery"], invitation=None, label=""
                )
        else:
            problems += _join_again(data, act.body["link"])


def _join_again(data: Path, link: str) -> Iterator[str]:
    """Nobody answers the invitation here. So either the join had come so far that it is finished without asking, or it
    comes to the question: nothing that the cut left is in its way."""
    invitation = Invitation.parse(link, "join")
    try:
        joined = join_folder(data, invitation, "")
    except AskFailed:
        return
    except PoslineError as error:
        if "member of that shop already" not in str(error):  # then all was done but the answer
            yield f"the join cannot be asked for again: {error!r}"
    else:
        if joined["shop_id"] != invitation.of:
            yield f"it joined {joined}"


async def _use(disk: Path, data: Path, expected: Expected, problems: list[str]) -> None:
    try:
        till = await open_till(data).__aenter__()
    except Exception as error:
        problems.append(f"it does not start: {error!r}")
        return
    try:
        _same_till(till, data, expected, problems)
        _all_there(till, expected.due, problems)
        _held_on(till, expected.held, problems)
        _settings(till, expected, problems)
        _backup(disk, expected, problems)
        _sent(till, data, expected, problems)
        if problems:
            return
        await _go_on(till, disk, expected, problems)
        problems += [f"verify: {line}" for line in verify(till.store, till.shop_id)]
    finally:
        await till.close()


def _same_till(till: Till, data: Path, expected: Expected, problems: list[str]) -> None:
    """Who it had said that it is, it still is; unless it was just joining another shop."""
    joins = [act for act in expected.due if act.path == "/api/local/join"]
    said = [act for act in expected.due if act.path == "/api/status"]
    if till.store.shops() != [till.shop_id]:
        problems.append(f"it holds the shops {till.store.shops()} and belongs to {till.shop_id}")
    if (joins or any(act.path == "command" for act in expected.due)) and (data / RECOVERY_FILE).exists():
        problems.append("the recovery code of the shop that it left is still there")
    if any(act.path == "/api/local/join" for act in expected.asked):
        return  # either shop will do
    if joins and till.shop_id != joins[-1].answer["shop_id"]:
        problems.append("the shop that it joined is not its shop")
    if said and (not joins or said[-1].arrived > joins[-1].arrived):
        answer = said[-1].answer
        if (till.id, till.shop_id, till.label) != (answer["till"], answer["shop_id"], answer["label"]):
            problems.append(f"it was till {answer['label']} {answer['till']} and is {till.label} {till.id}")
        code = data / RECOVERY_FILE
        if not joins and not any(act.path == "command" for act in expected.due):
            public = Key.from_code(code.read_text().split()[0]).public if code.exists() else b""
            founded = till.store.authority(till.shop_id).recovery
            if founded is None or Key.from_code(code.read_text().split()[0]).id != founded.author or not public:
                problems.append("the recovery code is not the shop's")
    rotated = [act for act in expected.due if act.path == "/api/local/key_rotate"]
    rotating = any(act.path == "/api/local/key_rotate" for act in expected.asked)
    if rotated and not rotating and till.key.public.hex() != rotated[-1].answer["key"]:
        problems.append("it signs with another key than the last one it was given")
    if said and expected.tls_key and (data / KEY_FILE).read_bytes() != expected.tls_key:
        problems.append("its certificate is for another key")
    own_certificate(data, till.id, [])  # whole, or this raises
    tokens = sum(act.path == "/api/local/token_add" for act in expected.due)
    if len(till.settings.tokens) < tokens:
        problems.append(f"{tokens} tokens were given, and {len(till.settings.tokens)} are known")


def _entries(till: Till) -> list[tuple[bytes, dict[str, Any]]]:
    rows = till.store.read.execute(
        "SELECT e.raw FROM entry e JOIN shop s ON s.key = e.shop WHERE s.id = ?", (till.shop_id,)
    )
    return [(raw, json.loads(raw)) for (raw,) in rows]


def _kind(act: Act) -> str:
    if act.method != "POST":
        return ""
    return KINDS.get(act.path) or KINDS.get(act.path.rpartition("/")[2], "")


def _all_there(till: Till, due: Iterable[Act], problems: list[str]) -> int:
    """Each act that was answered is there once, as it was answered; numbers and chain have no gap. The last number."""
    entries = _entries(till)
    once = Counter((entry["kind"], entry["id"]) for _, entry in entries)
    bodies = {entry["id"]: entry for _, entry in entries}
    for act in due:
        kind = _kind(act)
        if not kind:
            continue
        if once[kind, act.id] != 1:
            problems.append(f"the {kind} {act.id} is there {once[kind, act.id]} times")
        elif kind in NUMBERED:
            held, answer = bodies[act.id], act.answer
            if (held["total"], held["number"]) != (answer["total"], answer["number"]):
                problems.append(f"the {kind} {act.id} is {held['total']} under {held['number']}, and was {answer}")
            if kind == "sale" and held["total"] != _sum(act, held):
                problems.append(f"the sale {act.id} comes to {held['total']}, its lines to {_sum(act, held)}")
    own = sorted(((raw, entry) for raw, entry in entries if entry["till"] == till.id), key=lambda pair: pair[1]["seq"])
    if [entry["seq"] for _, entry in own] != list(range(1, len(own) + 1)):
        problems.append(f"its entries are numbered {[entry['seq'] for _, entry in own]}")
    before = ""
    for raw, entry in own:
        if entry["prev"] != before:
            problems.append(f"entry {entry['seq']} does not follow the one before it")
        before = hashlib.sha256(raw).hexdigest()[:24]
    numbers = sorted(entry["number"] for _, entry in own if entry["kind"] in NUMBERED)
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append(f"its receipts are numbered {numbers}")
    return len(numbers)


def _held_on(till: Till, held: Iterable[tuple[str, str]], problems: list[str]) -> None:
    """What was there before is there still."""
    now = Counter((entry["kind"], entry["id"]) for _, entry in _entries(till))
    problems += [f"the {kind} {id} is there {now[kind, id]} times" for kind, id in held if now[kind, id] != 1]


def _sum(act: Act, held: dict[str, Any]) -> int:
    lines = act.body["lines"]
    return sum(int(line["quantity"]) * line["price"] for line in lines) if "price" in lines[0] else int(held["total"])


def _settings(till: Till, expected: Expected, problems: list[str]) -> None:
    """Settings and products are as they were last answered, or as they were being made."""
    wanted: dict[str, list[Any]] = {}
    for act in (*expected.due, *expected.asked):
        if act.method == "PUT":
            value = act.body["value"] if act.path.startswith("/api/settings/") else act.body["price"]
            under_way = any(act is other for other in expected.asked)
            wanted[act.path] = [*(wanted.get(act.path, ()) if under_way else ()), value]
    for act in expected.due:
        if act.method == "PUT" and act.path.startswith("/api/settings/"):
            held: Any = till.reports.setting(act.path.rpartition("/")[2])
        elif act.method == "PUT":
            found = till.reports.catalog.get(act.path.removeprefix("/api/products/"))
            held = None if found is None else found["price"]
        else:
            continue
        if not _replaced(act, expected) and held not in wanted[act.path]:
            problems.append(f"{act.path} is {held!r}, and was {wanted[act.path]}")
    imports = [act for act in expected.due if act.path == "/api/local/catalogue_import"]
    if imports and not any(act.path == "/api/local/catalogue_import" for act in expected.asked):
        count = len(till.reports.catalog.listed(after="", limit=10_000, retired=True))
        if count < imports[-1].answer["products"]:
            problems.append(f"{count} products are there of {imports[-1].answer}")


def _replaced(act: Act, expected: Expected) -> bool:
    """Whether a file that replaces the catalogue came after it."""
    return act.path.startswith("/api/products/") and any(
        other.path == "/api/local/catalogue_import" and other.arrived > act.arrived
        for other in (*expected.due, *expected.asked)
    )


def _backup(disk: Path, expected: Expected, problems: list[str]) -> None:
    """What bears a backup's name is one, whole, with every sale that had been answered when it was asked for."""
    made = [act for act in expected.due if act.path == "/api/local/backup"]
    file = disk / BACKUP
    if not file.exists():
        if made:
            problems.append("the backup is gone")
        return
    try:
        with sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True) as copy:
            (whole,) = copy.execute("PRAGMA integrity_check").fetchone()
            ids = {id for (id,) in copy.execute("SELECT id FROM entry WHERE kind = 'sale'")}
            noted = copy.execute("SELECT 1 FROM meta WHERE name = 'backup'").fetchone()
    except sqlite3.Error as error:
        problems.append(f"the backup cannot be read: {error}")
        return
    if whole != "ok" or noted is None:
        problems.append(f"the backup is not whole: {whole}")
    for act in expected.due:
        if made and act.path == "/api/sales" and act.answered < made[-1].arrived and act.id not in ids:  # type: ignore[operator]
            problems.append(f"the backup lacks the sale {act.id}")
    if expected.restored and not problems:
        with Folder(disk / "restored") as folder:
            restore(folder, file, recovery=None, label="")


def _sent(till: Till, data: Path, expected: Expected, problems: list[str]) -> None:
    """What left for a printer or a fiscal service is known to have left, so that it does not leave twice by itself."""
    for act in expected.due:
        if act.path == "filed":
            query = "SELECT state FROM fileable WHERE usin = ?"
            states = [state for (state,) in till.store.read.execute(query, (act.body["usin"],))]
            if len(states) != 1 or states[0] in ("queued", "none"):
                problems.append(f"{act.body['usin']} was sent to the fiscal service, and is {states}")
    printed = sum(act.path == "printed" for act in expected.due)
    if printed:
        with closing(reader(str(data / DATABASE))) as jobs:

            def known() -> Counter[str]:
                return Counter(state for (state,) in jobs.execute("SELECT state FROM job"))

            wait_for("the printing queue's start", lambda: not known()["waiting"] + known()["sending"])  # a thread's
            if known()["printed"] + known()["unsure"] < printed:
                problems.append(f"{printed} receipts went to the printer, and its jobs are {dict(known())}")


async def _go_on(till: Till, disk: Path, expected: Expected, problems: list[str]) -> None:
    """What was not answered is asked for again; a new sale gets the next number; all is there once."""
    local = Local(till, COMMANDS)
    transport = httpx.ASGITransport(build_app(till, local))
    given = {"authorization": f"Bearer {local.secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=given) as http:
        again = [act for act in expected.asked if _kind(act) or act.method == "PUT"]
        for act in again:
            answer = await http.request(act.method, act.path, json=act.body)
            if answer.status_code not in (200, 201):
                problems.append(f"asked again, {act.path} is answered {answer.status_code} {answer.text}")
                return
            act.answer = answer.json()
        for act in expected.asked:
            if act.path == "/api/local/backup":
                answer = await http.post(act.path, json={"file": str(disk / BACKUP)})
                if answer.status_code != 200:
                    problems.append(f"no backup can be made: {answer.text}")
        id = str(uuid.uuid4())
        body = {"id": id, "lines": [{"sku": "new", "quantity": 1, "price": 77}]}
        fresh = await http.post("/api/sales", json=body)
        if fresh.status_code != 201:
            problems.append(f"a new sale is answered {fresh.status_code} {fresh.text}")
            return
        new = Act("POST", "/api/sales", body, 0, 0, 201, fresh.json())
        last = _all_there(till, [*expected.due, *again, new], problems)
        if new.answer["number"] != last:
            problems.append(f"the new sale has the number {new.answer['number']} of {last}")
