"""Hosting phones and tablets: switching it on, pairing them, letting them in by their cookie, and removing them.

Knows nothing of HTTP but that there is a listener; `posline.till.hosting.door` decides who passes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp

from posline.core.clock import Reading, iso
from posline.core.numbers import valid_label
from posline.errors import BadRequest, NotFound, NotPossible, PoslineError
from posline.storage.records import Commit
from posline.till.hosting.authority import Authority, is_private
from posline.till.hosting.devices import DEVICES_MAX, Device, Devices
from posline.till.hosting.hosted import Host, HostedTill
from posline.till.invitation import EXPIRES_DEFAULT_S, InvitationRefused, Invitations
from posline.till.listener import AddressRefused, Listener

__all__ = ["Hosting", "Pairing"]

log = logging.getLogger("posline.till")

LOOK_S = 20.0  # between two looks at the certificate and at who is idle
IDLE_MS = 3_600_000  # after which a hosted till is let go of; its next request takes it up again
SEEN_MS = 60_000  # how often it is written down when a device was last there
SEEN = "hosted seen"  # where: {author: ISO 8601}
AGENT_CHARACTERS = 120
EVERYWHERE = ""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What a device is given: who it is, and the secret that its cookie holds."""

    device: Device
    secret: str


@dataclass(slots=True)
class _Open:
    till: HostedTill
    app: ASGIApp
    used_ms: int
    waiting: int = 0  # that its page says it keeps


class Hosting:
    """The hosting of one shop. It may listen, or only be asked and changed."""

    def __init__(self, host: Host, door: Callable[[Hosting], ASGIApp], app: Callable[[HostedTill], ASGIApp]) -> None:
        """`door` makes what the listener serves, `app` what answers one device."""
        self.host, self._door, self._app = host, door, app
        folder = host.folder
        assert folder is not None, "a host of one shop keeps its devices in its folder"
        self._folder = folder.path
        self.devices = Devices(self._folder)
        self.invitations = Invitations(lambda: host.clockwork.monotonic_ms() / 1000)
        self.trouble = ""  # why nobody can connect, where that is switched on
        self._authority: Authority | None = None
        self._listener: Listener | None = None
        self._looking: asyncio.Task[None] | None = None
        self._open: dict[str, _Open] = {}
        self._seen: dict[str, str] = {}
        self._seen_ms = 0
        self._engine: object = None  # whose commits are heard
        self._paired: set[str] = set()  # by which requests: a device that was removed does not come back by its own
        self._pairing = asyncio.Lock()  # or a request that is repeated could make two devices

    # -- on and off ----------------------------------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        """Whether devices can connect."""
        return self._listener is not None

    @property
    def authority(self) -> Authority:
        """Who signs for this host, made when it is first asked for."""
        if self._authority is None:
            shop = str(self.host.whole.founding.get("name", ""))
            self._authority = Authority(self._folder, f"Posline {shop} {self.host.label}".strip())
        return self._authority

    async def switch(self, on: bool, *, port: int | None = None, name: str | None = None) -> None:
        """Host from now on and after each start, or no more. Raises BadRequest, AddressRefused."""
        if name and not (is_private(name) and "/" not in name):
            raise BadRequest.of("name", f"{name[:60]!r} is no address or name of a local network, such as till.local")
        moved = port is not None and port != self.devices.port
        if self.listening and (not on or moved):
            await self.stop()
        if on:
            self.devices.switch(self.devices.on, port=port, name=name)
            await self.start()
        self.devices.switch(on)

    async def start(self) -> None:
        """Listen, where a running host serves. Raises AddressRefused, FolderDamaged."""
        if self.listening or not self.host.running:
            return
        engine = self.host.engine
        if self._engine is not engine:
            self._engine = engine
            engine.on_commit(self._committed)
        self._renew()
        self.trouble = ""
        listener = Listener(self._door(self), host=EVERYWHERE, port=self.devices.port, tls=self.authority.tls)
        try:
            await listener.start()
        except AddressRefused as error:
            self.trouble = str(error)
            raise
        self._listener = listener
        for device in self.devices.of(self.host.whole.shop):
            if device.author in self._members():
                self.host.whole.writer(self.devices.key(device.author), self.host.clock).vouch()
        engine.poke()
        self._seen = dict(self.host.whole.store.get_meta(SEEN) or {})
        self._looking = asyncio.create_task(self._look(), name="hosting")
        log.info("phones and tablets are hosted at %s", self.url)

    async def stop(self) -> None:
        """Listen no more; hosted tills are let go of."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        for author in list(self._open):
            await self._let_go(author)
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stop()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self._renew()
                await self._drop_idle()
                self._keep_seen()
            except Exception:
                log.exception("looking after hosted devices failed; the next look goes on")

    def _renew(self) -> None:
        """A leaf for today's addresses, in use from the next connection on."""
        clock = self.host.clock
        hosts = [*filter(None, [self.devices.name]), *self.host.addresses(), "localhost", "127.0.0.1", "::1"]
        if self.authority.renew(hosts, clock.now(), clock.floor_ms) and self._listener is not None:
            self._listener.renew(self.authority.tls)
            log.info("a new certificate for %s, until %s", ", ".join(self.authority.hosts), self.authority.ends)

    # -- where it is reached -------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Where browsers connect."""
        return self._listener.port if self._listener is not None else self.devices.port

    @property
    def url(self) -> str:
        """The address that devices are paired with."""
        return self.urls()[0]

    def urls(self) -> list[str]:
        """Where devices reach this host, the best first."""
        hosts = [*filter(None, [self.devices.name]), *filter(is_private, self.host.addresses())] or ["localhost"]
        return [f"https://{f'[{host}]' if ':' in host else host}:{self.port}" for host in dict.fromkeys(hosts)]

    # -- pairing -------------------------------------------------------------------------------------------------------

    def invite(self, label: str = "", expires_s: float = EXPIRES_DEFAULT_S) -> str:
        """The link with which one device is paired. Raises NotPossible where nobody listens, BadRequest."""
        if not self.listening:
            raise NotPossible("hosting is off: 'posline host on', with the till running, lets phones and tablets in")
        self.host.check_may_admit()
        if label and not valid_label(label):
            raise BadRequest.of("label", f"{label[:40]!r} is none: up to six of A-Z and 0-9")
        if len(self.devices.of(self.host.whole.shop)) >= DEVICES_MAX:
            raise NotPossible(f"{DEVICES_MAX} devices are hosted here: remove some first")
        return f"{self.url}/pair#{self.invitations.add(expires_s=expires_s, note=label)}"

    async def pair(self, token: str, request: str, agent: str) -> Pairing:
        """Let the device in that shows an invitation's token. `request` is an id of its own making: the same one may
        ask again when the answer was lost. Raises InvitationRefused, NotAdmitted, CommitFailed."""
        async with self._pairing:
            label = self.invitations.take(token, request)
            device = self.devices.paired_by(request)
            if device is None and request in self._paired:
                raise InvitationRefused("this device was removed: load the page of a new invitation afresh")
            self._paired.add(request)
            if device is None:
                key, whole = self.devices.fresh_key(), self.host.whole
                at = iso(self.host.clock.now().at_ms, whole.zone)
                device = Device(key.id, label, whole.shop, "", request, at, agent[:AGENT_CHARACTERS])
                self.devices.keep(device)  # first: after a cut it can still be removed
                try:
                    device.label = await self.host.admit(key.public, label)
                except PoslineError:
                    self.devices.forget(device.author)
                    self._paired.discard(request)  # it may try again
                    raise
            return Pairing(device, self.devices.fresh_secret(device))

    async def remove(self, who: str) -> dict[str, Any]:
        """Remove a device, by label or id: its cookie opens nothing from this moment on. Raises NotFound."""
        named = [d for d in self.devices.of(self.host.whole.shop) if who in (d.author, self._label(d), d.label)]
        if not named:
            raise NotFound(f"no device here is called {who[:40]!r}: 'posline host list' names them")
        if len(named) > 1:
            raise BadRequest.of("device", f"{who[:40]} are several: name one by its id")
        device = named[0]
        label = self._label(device)
        secret, device.secret = device.secret, ""
        await self._let_go(device.author)
        try:
            if device.author in self._members():
                await self._sign_off(device.author)
                await self.host.dismiss(device.author)
        except BaseException:
            device.secret = secret  # it is a member still
            raise
        self.devices.forget(device.author)
        self._seen.pop(device.author, None)
        detail = f"{label} is removed, and what it sold counts. What still waits in its browser is not here"
        return {"device": device.author, "label": label, "detail": detail}

    async def _sign_off(self, author: str) -> None:
        """What a device sold is signed while its signature counts for something."""
        writer = self.host.whole.writers.get(author)
        if writer is not None:
            writer.sign_off()
            await self.host.engine.durable(*self.host.whole.staged)

    def _members(self) -> Any:
        return self.host.whole.store.members(self.host.whole.shop)

    def _label(self, device: Device) -> str:
        member = self._members().get(device.author)
        return member.label if member is not None else device.label

    # -- who is there --------------------------------------------------------------------------------------------------

    def app_of(self, secret: str, waiting: int | None = None) -> tuple[str, ASGIApp] | None:
        """The device with this secret and what answers it; None for a stranger, and for one that was removed. `waiting`
        is how much its page says that it keeps."""
        device = self.devices.presenting(secret) if secret else None
        if device is None or device.shop != self.host.whole.shop or device.author not in self._members():
            return None
        now_ms = self.host.clockwork.monotonic_ms()
        found = self._open.get(device.author)
        if found is None:
            till = HostedTill(self.host, self.devices.key(device.author))
            found = self._open[device.author] = _Open(till, self._app(till), now_ms)
        found.used_ms = now_ms
        self._seen[device.author] = iso(self.host.clock.now().at_ms, self.host.whole.zone)
        if waiting is not None:
            found.waiting = waiting
        return device.author, found.app

    def _committed(self, commit: Commit) -> None:
        for found in list(self._open.values()):
            found.till.heard(commit)
        if (self.host.whole.shop, "shop") in commit.documents:
            for author in {*self._open, *self.host.whole.writers} - self._members().keys():  # another till removed it
                asyncio.get_running_loop().create_task(self._let_go(author), name=f"let go of {author}")

    async def _let_go(self, author: str) -> None:
        found = self._open.pop(author, None)
        if found is not None:
            await found.till.close()
        self.host.whole.dismiss(author, removed=author not in self._members())

    async def _drop_idle(self) -> None:
        now_ms = self.host.clockwork.monotonic_ms()
        for author, found in list(self._open.items()):
            if now_ms - found.used_ms > IDLE_MS:
                await self._let_go(author)
        for author in set(self.host.whole.writers) - set(self._open):  # those that had something to seal
            self.host.whole.dismiss(author)

    def _keep_seen(self) -> None:
        now_ms = self.host.clockwork.monotonic_ms()
        if self._seen and now_ms - self._seen_ms > SEEN_MS:
            self._seen_ms = now_ms
            self.host.whole.store.set_meta(SEEN, dict(self._seen))

    # -- shown to people -----------------------------------------------------------------------------------------------

    def shown(self) -> dict[str, Any]:
        """What is hosted here: {on, listening, port, name, urls, fingerprint, certificate, trouble, devices}."""
        answer: dict[str, Any] = {
            "on": self.devices.on, "listening": self.listening, "port": self.port, "name": self.devices.name,
            "urls": self.urls() if self.devices.on else [], "fingerprint": None, "certificate": None,
            "trouble": self.trouble,
        }  # fmt: skip
        if self.devices.on:
            answer["fingerprint"] = self.authority.fingerprint
            answer["certificate"] = self._certificate()
        seen = self._seen or dict(self.host.whole.store.get_meta(SEEN) or {})
        answer["devices"] = [self._shown(device, seen) for device in self.devices.of(self.host.whole.shop)]
        return answer

    def _certificate(self) -> dict[str, Any]:
        clock: Reading = self.host.clock.now()
        ends: datetime | None = self.authority.ends
        note = ""
        if clock.trust == "suspect" or clock.warning is not None:
            note = (
                "this till does not know for sure what day it is, and chose the certificate's dates by what it does "
                "know: where a device says that the certificate is not valid (yet), set this till's clock"
            )
        return {
            "hosts": list(self.authority.hosts),
            "ends": None if ends is None else ends.astimezone(UTC).isoformat(timespec="seconds"),
            "note": note,
        }

    def _shown(self, device: Device, seen: dict[str, str]) -> dict[str, Any]:
        found = self._open.get(device.author)
        return {
            "id": device.author, "label": self._label(device), "member": device.author in self._members(),
            "paired": device.paired, "last_seen": seen.get(device.author),
            "waiting": found.waiting if found is not None else None, "agent": device.agent,
        }  # fmt: skip
