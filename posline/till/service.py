"""A till that starts with its machine: what systemd, launchd and the Windows task scheduler are told, and how.

`plan` works out the file and the commands from nothing but what is asked; `install` and `remove` carry them out. After
a power cut nobody logs in, so wherever the system allows it the till starts without.

Sources: systemd.service(5), systemd.unit(5) and systemd.exec(5); launchd.plist(5); the task schema of Windows
(learn.microsoft.com, "Task Scheduler Schema").
"""

from __future__ import annotations

import contextlib
import plistlib
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from xml.sax.saxutils import escape

from posline.errors import BadRequest, PoslineError

__all__ = ["LABEL", "Plan", "Service", "ServiceFailed", "System", "install", "plan", "remove"]

AGAIN_S = 2  # between an end that nobody asked for and the next start
STOP_S = 20  # for a clean stop; the till's own limits are well below it
FILES = 65536  # that a server may have open: each till is one
# what a server that many can reach has no need of; a till's printers and its clock are left alone
SERVER_WALLS = """\
CapabilityBoundingSet=
LockPersonality=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
"""
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
LABEL = "pk.posline."  # of a launchd job


class ServiceFailed(PoslineError):
    """The system did not take the service, or did not let it go."""

    title = "The service could not be set up"


@dataclass(frozen=True, slots=True)
class System:
    """The machine as far as services go. `platform` is as `sys.platform` has it."""

    platform: str
    user: str  # whose till it is
    home: PurePath
    uid: int = 0
    root: bool = False  # whether this process may write for all users


@dataclass(frozen=True, slots=True)
class Service:
    """What is to run: the command with its arguments, and the data folder, an absolute path. `program` is what installs
    it, `what` what it is, `stop_s` how long a clean stop may take. A `server` answers many, and reads its certificate
    again when it is told to; `environment` is a file with variables that no other user may see."""

    name: str
    command: tuple[str, ...]
    data: PurePath
    program: str = "posline"
    what: str = "till"
    stop_s: int = STOP_S
    server: bool = False
    environment: PurePath | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadRequest.of("name", "begins with a letter, and has 40 small letters, digits and hyphens at most")
        if any(ord(c) < 32 for part in (*self.command, str(self.data)) for c in part):
            raise BadRequest.of("data", "has a control character in its path: use another folder")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the file goes, what is in it, and the commands that make the system read it. `undo` may fail where there is
    nothing to undo. `note` is what a person has to know."""

    path: PurePath
    text: str
    commands: tuple[tuple[str, ...], ...]
    undo: tuple[tuple[str, ...], ...]
    afterwards: tuple[tuple[str, ...], ...] = ()  # once the file is gone
    encoding: str = "utf-8"
    note: str = ""
    watch: str = ""  # what shows how it does


def plan(service: Service, system: System) -> Plan:
    """What there is to do. Raises ServiceFailed on a system that none of the three ways fits."""
    if system.platform.startswith("linux"):
        return _systemd(service, system)
    if service.environment is not None:
        raise ServiceFailed(
            f"only systemd reads variables from a file: on {system.platform} set them for the user {system.user}, and"
            " leave --environment away"
        )
    if system.platform == "darwin":
        return _launchd(service, system)
    if system.platform == "win32":
        return _windows(service, system)
    wanted = " ".join(service.command)
    raise ServiceFailed(f"no way is known to start a program at boot on {system.platform}: have its init run: {wanted}")


Run = Callable[[Sequence[str]], None]


def run(command: Sequence[str]) -> None:
    """Carry out one command. Raises ServiceFailed with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise ServiceFailed(f"there is no {command[0]} here ({error.strerror}): see 'At boot' in the docs") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ServiceFailed(f"{' '.join(command)}: {said}")


def install(planned: Plan, do: Run = run) -> None:
    """Write the file and have the system start what it names, now and at every boot; again after a change. Where the
    system refuses, a file that is new goes again. Raises ServiceFailed."""
    path = Path(planned.path)
    known = path.exists()
    for command in planned.undo if known else ():
        with contextlib.suppress(ServiceFailed):  # it need not run
            do(command)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(planned.text.encode(planned.encoding))
    except OSError as error:
        raise ServiceFailed(f"cannot write {path} ({error.strerror or error}): may this user?") from error
    try:
        for command in planned.commands:
            do(command)
    except ServiceFailed:
        if not known:
            path.unlink()
        raise


def remove(planned: Plan, do: Run = run) -> bool:
    """Stop it, and start it no more; the till's data stays. False when it was not installed. Raises ServiceFailed."""
    path = Path(planned.path)
    if not path.exists():
        return False
    failed: ServiceFailed | None = None
    for command in planned.undo:
        try:
            do(command)
        except ServiceFailed as error:
            failed = failed or error  # it may be half gone already; the rest is done all the same
    try:
        path.unlink()
    except OSError as error:
        raise ServiceFailed(f"cannot remove {path} ({error.strerror or error}): may this user?") from error
    for command in planned.afterwards:
        do(command)
    if failed is not None:
        raise failed
    return True


# -- Linux -------------------------------------------------------------------------------------------------------------


def _systemd(service: Service, system: System) -> Plan:
    unit = f"{service.name}.service"
    if system.root:
        folder, ctl, wanted = PurePath("/etc/systemd/system"), ["systemctl"], "multi-user.target"
    else:
        folder, ctl, wanted = system.home / ".config/systemd/user", ["systemctl", "--user"], "default.target"
    # or a user's own units would start when somebody logs in
    linger = () if system.root else (("loginctl", "enable-linger", system.user),)
    who = f"User={system.user}\n" if system.root else ""
    # what only root can ask of the kernel is left out for a user's own unit, which would not start with it
    walls = ""
    if system.root:
        walls = "# When memory runs out, others end first.\nOOMScoreAdjust=-500\nPrivateTmp=yes\nProtectSystem=strict\n"
        walls += f"ReadWritePaths={_systemd_word(str(service.data))}\n" + (SERVER_WALLS if service.server else "")
    more = f"EnvironmentFile={_systemd_word(str(service.environment))}\n" if service.environment is not None else ""
    if service.server:
        more += f"ExecReload=/bin/kill -HUP $MAINPID\nLimitNOFILE={FILES}\n"
    wait = (
        "Wants=network-online.target\nAfter=network-online.target\n"
        if service.server
        else "# No waiting for a network: a till sells without one.\n"
    )
    text = f"""\
# Written by '{service.program} service install'; '{service.program} service remove' takes it away.
[Unit]
Description=Posline {service.what}
Documentation=man:systemd.service(5)
{wait}# However often it ended, it is started again.
StartLimitIntervalSec=0

[Service]
Type=exec
{who}ExecStart={" ".join(_systemd_word(word, dollars=True) for word in service.command)}
{more}Restart=always
RestartSec={AGAIN_S}
TimeoutStopSec={service.stop_s}
UMask=0077
NoNewPrivileges=yes
{walls}
[Install]
WantedBy={wanted}
"""
    journal = ("journalctl", *(() if system.root else ("--user",)), "-u", service.name)
    return Plan(
        folder / unit,
        text,
        (*linger, (*ctl, "daemon-reload"), (*ctl, "enable", "--now", unit)),
        ((*ctl, "disable", "--now", unit),),
        ((*ctl, "daemon-reload"),),
        watch=f"{' '.join((*ctl, 'status', service.name))}; {' '.join(journal)}",
    )


def _systemd_word(word: str, *, dollars: bool = False) -> str:
    """One word as systemd reads it back; where it is a command's, `$` begins a variable too."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if dollars:
        word = word.replace("$", "$$")
    return f'"{word}"' if re.search(r"[\s'\";]", word) or not word else word


# -- macOS -------------------------------------------------------------------------------------------------------------


def _launchd(service: Service, system: System) -> Plan:
    label = LABEL + service.name
    log = str(service.data / f"{service.what.replace(' ', '-')}.log")
    job: dict[str, Any] = {
        "Label": label,
        "ProgramArguments": list(service.command),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": AGAIN_S,
        "ExitTimeOut": service.stop_s,
        "Umask": 0o077,
        "ProcessType": "Interactive",  # or the system slows it down
        "StandardErrorPath": log,
        "StandardOutPath": log,
    }
    folder: PurePath
    if system.root:
        folder, domain, note = PurePath("/Library/LaunchDaemons"), "system", ""
        job["UserName"] = system.user
    else:
        folder, domain = system.home / "Library/LaunchAgents", f"gui/{system.uid}"
        note = (
            "It starts when this user logs in: for one that starts without, run the same with sudo, or let the machine"
            " log in by itself."
        )
    path = folder / f"{label}.plist"
    return Plan(
        path,
        plistlib.dumps(job, sort_keys=False).decode(),
        (("launchctl", "bootstrap", domain, str(path)),),
        (("launchctl", "bootout", f"{domain}/{label}"),),
        note=note,
        watch=f"launchctl print {domain}/{label}; tail {log}",
    )


# -- Windows -----------------------------------------------------------------------------------------------------------


def _windows(service: Service, system: System) -> Plan:
    program, *arguments = service.command
    # S4U: it runs without a login and without a stored password. On battery it goes on: a power cut is when it must.
    text = f"""\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Posline {service.what}</Description>
  </RegistrationInfo>
  <Triggers>
    <BootTrigger>
      <Enabled>true</Enabled>
    </BootTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{escape(system.user)}</UserId>
      <LogonType>S4U</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>4</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(program)}</Command>
      <Arguments>{escape(subprocess.list2cmdline(arguments))}</Arguments>
    </Exec>
  </Actions>
</Task>
"""
    path, task = service.data / f"{service.name}.xml", f"Posline\\{service.name}"
    return Plan(
        path,
        text,
        (
            ("schtasks", "/Create", "/F", "/TN", task, "/XML", str(path)),
            ("schtasks", "/Run", "/TN", task),
        ),
        (("schtasks", "/End", "/TN", task), ("schtasks", "/Delete", "/F", "/TN", task)),
        encoding="utf-16",
        note="Run it as an administrator: only one may make a task that starts at boot.",
        watch=f"schtasks /Query /V /FO LIST /TN {task}",
    )
