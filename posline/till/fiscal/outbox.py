"""The outbox: files what waits for this device, one after another, and never twice.

The order is fixed: the intent is on the disk, then the request leaves, then the answer is written down. Whatever is cut
off between them is `unknown` when the outbox comes back, and goes nowhere unless the service, where it can be asked, or
a person says that it does not have it. A refused connection leaves a sale queued, and writes nothing where it was
refused before an intent.

1. An invoice is sent only in `queued`, by its filer, after its `sending` is durable.
2. After `sending`, only the answer, or a word from outside, leads back to `queued`.
3. What is wrong with one invoice delays no other by more than one pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from posline.core.checks import MAX_TEXT
from posline.core.clock import parse_iso
from posline.core.fiscal import FiscalSetting, State
from posline.core.fiscal_answers import Answer, Verdict
from posline.core.fiscal_invoice import NotFilable, payload
from posline.errors import OutcomeUnknown, PoslineError
from posline.storage.connection import is_failure
from posline.storage.filed import Filed
from posline.till.fiscal.desk import Desk, filing_fields
from posline.till.fiscal.sending import HttpService, Service

__all__ = ["Outbox"]

log = logging.getLogger("posline.fiscal")

BATCH = 20  # invoices between two looks at the setting and the token
FIRST_PAUSE_S, PAUSE_MAX_S = 2.0, 300.0  # between looks whether the service can be reached: they write nothing
TROUBLE_MAX_S = 3600.0  # between invoices while answers are none: each leaves entries, and perhaps work for a person
IDLE_S = 300.0  # between looks where nothing was said to wait
STOP_S = 5.0  # how long a stop waits for the answer to what was sent
SETTLE_S = 60.0  # before a service is asked about what it did not answer: it may still be at it


class Outbox:
    """Files for one device. `service` makes the service of a setting and token; tests hand in their own."""

    def __init__(
        self,
        desk: Desk,
        *,
        service: Callable[[FiscalSetting, str], Service] = HttpService,
        settle_s: float = SETTLE_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.desk = desk
        self.trouble = ""  # why nothing is filed at present, in words; "" when nothing hinders it
        self._make, self._settle_ms, self._first_pause_s = service, int(settle_s * 1000), first_pause_s
        self._wanted, self._stopping = asyncio.Event(), False
        self._task: asyncio.Task[None] | None = None
        self._misses = self._troubles = 0
        self._not_before_ms = 0
        self._asked_ms: dict[str, int] = {}

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it files."""
        return self._task is not None

    def start(self) -> None:
        """File from now on, in the background."""
        if self._task is None:
            self._stopping = False
            self._task = asyncio.create_task(self._run(), name="fiscal outbox")

    async def stop(self) -> None:
        """File no more. What was sent gets a moment for its answer; after that it is `unknown` at the next start."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping = True
        self._wanted.set()
        done, _ = await asyncio.wait([task], timeout=STOP_S)
        if not done:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def poke(self) -> None:
        """Something was committed that may wait to be filed, or change what hinders it."""
        self._wanted.set()

    def retry(self) -> None:
        """Try now, however long the pause would have been: somebody mended something."""
        self._not_before_ms = 0
        self._wanted.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._wanted.clear()
            try:
                wait_s = await self.turn()
            except OutcomeUnknown:
                return  # the device is going down
            except PoslineError as error:
                self.trouble = str(error)  # the disk did not take an entry: the next turn finds what is in doubt
                wait_s = self._pause_s(self._troubles, TROUBLE_MAX_S)
                self._troubles += 1
            except Exception as error:
                if is_failure(error):  # whoever commits next ends the process, and says why
                    log.error("filing failed: %s", error)
                else:
                    log.exception("filing failed; the next round goes on")
                self.trouble = "an error of ours, written to the log"
                wait_s = self._pause_s(self._troubles, TROUBLE_MAX_S)
                self._troubles += 1
            if wait_s > 0 and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), wait_s)

    # -- one round -----------------------------------------------------------------------------------------------------

    async def turn(self) -> float:
        """One round over what waits; seconds until the next one is due."""
        desk = self.desk
        await self._recover()
        setting = desk.setting()
        if setting is None:
            self.trouble = desk.fault
            return IDLE_S
        await self._hand_over(setting)
        waiting = desk.filed.waiting(desk.author, BATCH) if setting.filer == desk.author else []
        doubtful = self._doubtful(setting)
        if not waiting and not doubtful:
            self.trouble = ""
            return IDLE_S
        left_ms = self._not_before_ms - desk.monotonic_ms()
        if left_ms > 0:
            return left_ms / 1000
        token, self.trouble = desk.token_for(setting)
        if self.trouble:
            return IDLE_S
        service = self._make(setting, token)
        try:
            return await self._serve(setting, service, waiting, doubtful)
        finally:
            await service.close()

    async def _serve(
        self, setting: FiscalSetting, service: Service, waiting: list[Filed], doubtful: list[Filed]
    ) -> float:
        why = await service.reachable()
        self.desk.reached(yes=not why)
        if why:
            return self._missed(why)
        self._misses = 0
        for filed in doubtful:
            await self._ask(service, filed)
        sent = 0
        for filed in waiting:
            if self._stopping:
                return 0.0
            answer = await self._file(setting, service, filed)
            if answer is None:
                continue
            sent += 1
            if answer.verdict in (Verdict.ACCEPTED, Verdict.REJECTED):
                self._troubles, self.trouble = 0, ""
                continue
            words = "; ".join(answer.errors) or answer.code or "no answer"
            if answer.code == "unreached":
                self.desk.reached(yes=False)
                return self._missed(words)
            self.trouble = f"the service gave no answer that decides: {words}"
            return self._paused(self._troubled())
        if not waiting:
            return 0.0 if doubtful else IDLE_S
        return 0.0 if sent else self._first_pause_s

    def _missed(self, why: str) -> float:
        self.trouble = why
        self._misses += 1
        return self._paused(self._pause_s(self._misses - 1, PAUSE_MAX_S))

    def _troubled(self) -> float:
        self._troubles += 1
        return self._pause_s(self._troubles - 1, TROUBLE_MAX_S)

    def _paused(self, seconds: float) -> float:
        self._not_before_ms = self.desk.monotonic_ms() + int(seconds * 1000)
        return seconds

    def _pause_s(self, times: int, most_s: float) -> float:
        """Doubling, and never the same for two devices: after an outage a whole town comes back at once."""
        share = self.desk.random.getrandbits(16) / 65536
        return float(min(most_s, self._first_pause_s * 2 ** min(times, 16)) * (0.5 + share / 2))

    # -- one invoice ---------------------------------------------------------------------------------------------------

    async def _file(self, setting: FiscalSetting, service: Service, filed: Filed) -> Answer | None:
        """Send one invoice and write down what came of it; None where it was not sent."""
        desk = self.desk
        stands = desk.filed.stands(filed)
        if stands.state is not State.QUEUED or stands.filer != desk.author:
            return None
        at = desk.filed.recorded(filed).entry.at
        try:
            body = payload(setting, desk.filed.invoice(filed), lambda sku: desk.filed.reports.product_at(sku, at))
        except NotFilable as error:
            log.warning("%s cannot be filed: %s", filed.usin, error)
            words = [str(error)[:MAX_TEXT]]
            await self._step(filed, stands.heads, setting, state="rejected", code="not-filable", errors=words)
            return None
        await self._step(filed, stands.heads, setting, state="sending")
        stands = desk.filed.stands(filed)
        if stands.state is not State.SENDING or len(stands.heads) != 1:
            return None  # something else came with the same commit: it stays as it stands, unsent
        answer = await service.send(body)
        await self._record(filed, setting, stands.heads, answer)
        return answer

    async def _record(self, filed: Filed, setting: FiscalSetting, heads: tuple[str, ...], answer: Answer) -> None:
        if answer.verdict is Verdict.ACCEPTED:
            await self._step(
                filed, heads, setting, state="accepted", number=answer.number, qr=answer.qr, code=answer.code
            )
        elif answer.verdict is Verdict.NOT_TAKEN:
            await self._step(filed, heads, setting, state="released", code=answer.code, errors=answer.errors)
        else:
            state = "rejected" if answer.verdict is Verdict.REJECTED else "unknown"
            log.warning("%s is %s: %s %s", filed.usin, state, answer.code, "; ".join(answer.errors))
            await self._step(filed, heads, setting, state=state, code=answer.code, errors=answer.errors)

    async def _step(self, filed: Filed, heads: tuple[str, ...], setting: FiscalSetting, **said: object) -> None:
        await self.desk.write(filing_fields(filed, heads, setting.adapter, self.desk.author, **said))

    # -- what is in doubt ----------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """What is `sending` while nothing is being sent was cut off: nobody knows whether it was filed."""
        desk = self.desk
        while cut := desk.filed.standing_so(State.SENDING, BATCH, filer=desk.author):
            for filed in cut:
                stands = desk.filed.stands(filed)
                why = "it was cut off between the intent and the answer"
                await desk.write(
                    filing_fields(filed, stands.heads, stands.adapter, stands.filer, state="unknown", code="cut-off",
                                  errors=[why])
                )  # fmt: skip

    async def _hand_over(self, setting: FiscalSetting) -> None:
        """Another filer or service is set: what this device has not sent is theirs now. Only the filer may say so by
        itself, since it alone knows what it has not sent."""
        desk = self.desk
        while others := [f for f in desk.filed.waiting(desk.author, BATCH) if _set_otherwise(f, setting)]:
            for filed in others:
                heads = desk.filed.stands(filed).heads
                await desk.write(
                    filing_fields(filed, heads, setting.adapter, setting.filer, state="released", code="moved")
                )

    def _doubtful(self, setting: FiscalSetting) -> list[Filed]:
        """What the service can be asked about by now."""
        if not setting.inquiry or setting.filer != self.desk.author:
            return []
        now_ms, steady_ms = self.desk.wall_ms(), self.desk.monotonic_ms()
        found = []
        for filed in self.desk.filed.standing_so(State.UNKNOWN, BATCH, filer=self.desk.author):
            at = self.desk.filed.stands(filed).at
            asked = self._asked_ms.get(filed.usin)
            if now_ms - parse_iso(at) >= self._settle_ms and (
                asked is None or steady_ms - asked >= max(self._settle_ms, int(self._first_pause_s * 1000))
            ):
                found.append(filed)
        return found

    async def _ask(self, service: Service, filed: Filed) -> None:
        desk = self.desk
        self._asked_ms[filed.usin] = desk.monotonic_ms()
        answer = await service.ask(filed.usin)
        stands = desk.filed.stands(filed)
        if stands.state is not State.UNKNOWN or answer.verdict not in (Verdict.ACCEPTED, Verdict.NOT_TAKEN):
            return
        accepted = answer.verdict is Verdict.ACCEPTED
        await desk.write(
            filing_fields(
                filed, stands.heads, stands.adapter, desk.author, state="accepted" if accepted else "released",
                number=answer.number, code=answer.code or "inquiry", why="the service was asked",
            )
        )  # fmt: skip
        self._asked_ms.pop(filed.usin, None)


def _set_otherwise(filed: Filed, setting: FiscalSetting) -> bool:
    return (filed.adapter, filed.filer) != (setting.adapter, setting.filer)
