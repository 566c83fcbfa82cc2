"""What is written so that a till starts at boot: held against files that were read by people, and against systemd."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from posline.errors import BadRequest
from posline.till.service import Plan, Service, ServiceFailed, System, install, plan, remove

GOLDEN = Path(__file__).parent / "services"
HOME = PurePosixPath("/home/asma")
AWKWARD = PurePosixPath('/srv/Asma\'s "shop" 100% $HOME\\till')

LINUX = Service("posline-till", ("/opt/posline/bin/python", "-m", "posline", "till", "--data", str(AWKWARD)), AWKWARD)
WINDOWS_DATA = PureWindowsPath(r"C:\Users\Asma & Sons\AppData\Local\posline")
WINDOWS = Service(
    "posline-till",
    (r"C:\Program Files\Posline\python.exe", "-m", "posline", "till", "--data", str(WINDOWS_DATA), "--port", "8710"),
    WINDOWS_DATA,
)
MAC_DATA = PurePosixPath("/Users/asma/till & co")
MAC = replace(LINUX, command=(*LINUX.command[:-1], str(MAC_DATA)), data=MAC_DATA)

PLANS = {
    "system.service": plan(LINUX, System("linux", "asma", HOME, 1000, root=True)),
    "user.service": plan(LINUX, System("linux", "asma", HOME, 1000)),
    "daemon.plist": plan(MAC, System("darwin", "asma", PurePosixPath("/Users/asma"), 501, root=True)),
    "agent.plist": plan(MAC, System("darwin", "asma", PurePosixPath("/Users/asma"), 501)),
    "task.xml": plan(WINDOWS, System("win32", r"SHOP\asma", PureWindowsPath(r"C:\Users\Asma"))),
}


def shown(planned: Plan) -> str:
    """A plan as a golden file has it: what is run, and what is written."""
    steps = (("do", planned.commands), ("undo", planned.undo), ("then", planned.afterwards))
    lines = [f"{word}: {' '.join(command)}" for word, commands in steps for command in commands]
    lines += [f"note: {planned.note}", f"watch: {planned.watch}", "", planned.text]
    return "\n".join([f"to: {planned.path}", *lines])


@pytest.mark.parametrize("name", PLANS)
def test_what_is_written_is_what_was_read(name: str) -> None:
    """After a change on purpose: read the new file with care, and write it with POSLINE_GOLDEN=1."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("POSLINE_GOLDEN"):
        path.write_text(shown(PLANS[name]))
    assert shown(PLANS[name]) == path.read_text()


@pytest.mark.parametrize("name", ["system.service", "user.service"])
def test_systemd_finds_nothing_to_object_to(name: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here (Debian: systemd)")
    data = tmp_path / "Asma's \"shop\" 100% $HOME"
    command = (sys.executable, "-m", "posline", "till", "--data", str(data))
    system = System("linux", "root", tmp_path, root=name == "system.service")
    planned = plan(Service("posline-till", command, data), system)
    unit = tmp_path / "posline-till.service"
    unit.write_text(planned.text)
    mode = ["--user"] if name == "user.service" else []
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [analyze, *mode, "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(planned.text.replace("Restart=always", "Restart=sometimes"))
    done = subprocess.run([analyze, *mode, "verify", "--man=no", "--recursive-errors=no", str(unit)],
                          capture_output=True, text=True, check=False, timeout=60, env=environment)  # fmt: skip
    assert "sometimes" in done.stderr, "and it would say so"


def test_launchd_and_windows_read_back_what_was_meant() -> None:
    job = plistlib.loads(PLANS["daemon.plist"].text.encode())
    assert job["ProgramArguments"] == list(MAC.command) and job["UserName"] == "asma" and job["KeepAlive"] is True
    task = ElementTree.fromstring(PLANS["task.xml"].text.encode("utf-16"))
    found = {element.tag.rpartition("}")[2]: element.text for element in task.iter()}
    assert found["Command"] == WINDOWS.command[0]
    assert found["Arguments"] == rf'-m posline till --data "{WINDOWS_DATA}" --port 8710'
    assert found["StopIfGoingOnBatteries"] == found["DisallowStartIfOnBatteries"] == "false", "a power cut is its hour"
    assert found["ExecutionTimeLimit"] == "PT0S"


@pytest.mark.parametrize("name", ["", "Till", "-till", "a" * 41, "../till", "till.service"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="begins with a letter"):
        replace(LINUX, name=name)
    with pytest.raises(BadRequest, match="control character"):
        replace(LINUX, data=PurePosixPath("/srv/a\nb"))


def test_another_system_is_told_what_to_run_itself() -> None:
    with pytest.raises(ServiceFailed, match="have its init run: /opt/posline"):
        plan(LINUX, System("freebsd14", "asma", HOME))


class Commands:
    """What would have been run; some fail."""

    def __init__(self, *failing: str) -> None:
        self.done: list[str] = []
        self.failing = failing

    def __call__(self, command: Sequence[str]) -> None:
        self.done.append(" ".join(command))
        if any(word in command for word in self.failing):
            raise ServiceFailed(f"{command[0]} said no")


def test_installing_twice_and_removing(tmp_path: Path) -> None:
    planned = plan(LINUX, System("linux", "asma", tmp_path, 1000))
    unit = tmp_path / ".config/systemd/user/posline-till.service"
    install(planned, first := Commands())
    assert unit.read_text() == planned.text
    assert first.done == [
        "loginctl enable-linger asma", "systemctl --user daemon-reload",
        "systemctl --user enable --now posline-till.service",
    ]  # fmt: skip
    install(planned, again := Commands("disable"))
    assert unit.exists()
    assert again.done == ["systemctl --user disable --now posline-till.service", *first.done]
    with pytest.raises(ServiceFailed, match="said no"):
        install(planned, Commands("daemon-reload"))
    assert remove(planned, last := Commands())
    assert not unit.exists() and last.done[-1] == "systemctl --user daemon-reload"
    assert not remove(planned, Commands())
    install(planned, Commands())
    with pytest.raises(ServiceFailed, match="said no"):
        remove(planned, Commands("disable"))
    assert not unit.exists(), "it is gone all the same"


def test_what_the_system_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    planned = plan(LINUX, System("linux", "asma", tmp_path, 1000))
    with pytest.raises(ServiceFailed, match="said no"):
        install(planned, Commands("enable-linger"))
    assert not Path(planned.path).exists()


def test_the_command_shows_what_it_would_write(tmp_path: Path) -> None:
    """What it names is a till: the same Python, the same folder."""
    command = [sys.executable, "-m", "posline", "service", "install", "--print", "--port", "8710",
               "--peer", "10.0.0.2", "--data", str(tmp_path / "a")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("ExecStart="))
    assert line == f"ExecStart={sys.executable} -m posline till --data {tmp_path / 'a'} --port 8710 --peer 10.0.0.2"
    assert not (tmp_path / "a").exists()
    done = subprocess.run([*command, "--name", "No Name"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "begins with a letter" in done.stderr


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("not a folder")
    with pytest.raises(ServiceFailed, match="cannot write"):
        install(plan(LINUX, System("linux", "asma", tmp_path, 1000)), Commands())
