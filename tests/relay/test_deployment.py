"""The examples of running a head office: units that systemd takes, a container file, and what they run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
import yaml
from typer.main import get_command

from posline.till.service import STOP_S, Service, ServiceFailed, System, plan
from relay.cli import app
from relay.operations.draining import DRAIN_S
from tests.faults import rig

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "examples" / "operations"
UNITS = ("posline-relay.service", "posline-relay-backup.service", "posline-relay-backup.timer")
RELAY = str(Path(sys.executable).with_name("posline-relay"))


def parsed(words: list[str]) -> dict[str, object]:
    """What `posline-relay` makes of arguments, which must be sound."""
    root = get_command(app)
    with root.make_context("posline-relay", list(words), resilient_parsing=False) as context:
        name, command, rest = root.resolve_command(context, [*context._protected_args, *context.args])
        return command.make_context(name, rest, parent=context).params


# -- systemd -----------------------------------------------------------------------------------------------------------


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed here (Debian: systemd)")
    environment = os.environ | {"XDG_RUNTIME_DIR": str(folder)}
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def unit_of(name: str, folder: Path) -> Path:
    """A unit of the examples, with this program in the place of the one that it names."""
    text = (OPERATIONS / name).read_text().replace("/opt/posline/bin/posline-relay", RELAY)
    (folder / name).write_text(text)
    return folder / name


def test_systemd_takes_the_units_and_finds_them_walled_in(tmp_path: Path) -> None:
    units = [str(unit_of(name, tmp_path)) for name in UNITS]
    done = analyze("verify", "--man=no", "--recursive-errors=no", *units, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = analyze("security", "--offline=true", "--threshold=25", units[0], folder=tmp_path)
    assert done.returncode == 0, done.stdout[-200:]


def test_what_service_install_writes_is_taken_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "relay.cli", "service", "install", "--print", "--data", str(tmp_path / "office"),
               "--", "--port", "8810", "--drain-seconds", "45"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("ExecStart="))
    serve = f"serve --data {tmp_path / 'office'} --port 8810 --drain-seconds 45"
    assert line == f"ExecStart={sys.executable} -m relay.cli {serve}"
    assert ("TimeoutStopSec=55" in done.stdout and "SystemCallFilter=@system-service" in done.stdout) or os.geteuid()
    (tmp_path / "posline-relay.service").write_text(done.stdout)
    mode = [] if os.geteuid() == 0 else ["--user"]
    checked = analyze(
        *mode, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / "posline-relay.service"), folder=tmp_path
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    wrong = subprocess.run([*command, "--nonsense"], capture_output=True, text=True, check=False, timeout=60)
    assert wrong.returncode == 2 and "--nonsense" in wrong.stderr
    told = subprocess.run(
        [*command[:5], "--database", "postgresql://posline:pa55word@db/posline"], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert told.returncode == 1 and "--environment" in told.stderr and "pa55word" not in told.stdout


def test_a_database_s_address_stays_out_of_the_unit() -> None:
    command = ("/opt/posline/bin/python", "-m", "relay.cli", "serve")
    file = PurePosixPath("/etc/posline relay.env")
    service = Service("posline-relay", command, PurePosixPath("/srv/x"), server=True, environment=file)
    text = plan(service, System("linux", "asma", PurePosixPath("/home/asma"), 1000, root=True)).text
    assert 'EnvironmentFile="/etc/posline relay.env"\n' in text and "LimitNOFILE=65536\n" in text
    with pytest.raises(ServiceFailed, match="only systemd"):
        plan(service, System("darwin", "asma", PurePosixPath("/Users/asma"), 501))


def test_stopping_takes_as_long_as_draining_may() -> None:
    unit = (OPERATIONS / "posline-relay.service").read_text()
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    compose = yaml.safe_load((OPERATIONS / "compose" / "compose.yml").read_text())
    grace = compose["services"]["relay"]["stop_grace_period"]
    assert int(stop_s) >= DRAIN_S + 10 and int(grace.removesuffix("s")) >= DRAIN_S + 10 and STOP_S <= DRAIN_S


# -- the container -----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions, each on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.M).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(word, rest) for word, rest in lines]


def listed(rest: str) -> list[str]:
    """The words of an instruction in its JSON form."""
    words = json.loads(rest[rest.index("[") :])
    assert all(isinstance(word, str) for word in words)
    return list(words)


def test_the_container_file_is_sound() -> None:
    found = instructions()
    order = [word for word, _ in found]
    assert order.count("FROM") == 2 and order[-2:] == ["ENTRYPOINT", "CMD"]
    for word, rest in found:
        if word == "FROM":
            name, _, tag = rest.split()[0].rpartition(":")
            assert re.fullmatch(r"docker\.io/library/python", name) and re.fullmatch(r"3\.\d+-slim-\w+", tag)
        elif word == "COPY":
            ignored = (ROOT / ".containerignore").read_text().splitlines()
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists() and f"!{source}" in ignored, source
        elif word == "RUN":
            assert listed(rest)[0] in ("python", "useradd"), "no shell"
    assert order.index("USER") < order.index("ENTRYPOINT") and dict(found)["USER"] not in ("0", "root")
    (extras,) = {re.search(r"\[([\w,]+)\]\"\]$", rest)[1] for word, rest in found if word == "RUN" and "pip" in rest}
    assert set(extras.split(",")) <= {"postgres", "parquet"}
    assert parsed(listed(dict(found)["CMD"]))["host"] == "0.0.0.0"


@pytest.mark.timeout(120)
def test_what_the_container_runs_runs_and_its_health_is_seen(tmp_path: Path) -> None:
    found = dict(instructions())
    words = listed(found["CMD"])
    environment = dict(pair.split("=", 1) for pair in shlex.split(found["ENV"]))
    assert environment["POSLINE_RELAY_DATA"] == found["VOLUME"]
    relay = rig.Process(tmp_path / "data", "relay.cli", [*words, "--port", "0"])
    relay.start()
    try:
        code = listed(found["HEALTHCHECK"])[-1]
        assert "8800" in code and ssl
        port = relay.page.rpartition(":")[2]
        look = [sys.executable, "-c", code.replace("8800", port)]
        subprocess.run(look, check=True, capture_output=True, timeout=30)
        assert relay.stop() == 0
        assert subprocess.run(look, check=False, capture_output=True, timeout=30).returncode != 0
    finally:
        if relay.running:
            relay.kill()


def test_compose_starts_what_there_is() -> None:
    compose = yaml.safe_load((OPERATIONS / "compose" / "compose.yml").read_text())
    for service in compose["services"].values():
        assert service.get("build") or re.search(r":\d[\w.-]*$", service["image"]), "an image is pinned by its name"
    relay = compose["services"]["relay"]
    given = parsed([str(word) for word in relay["command"]])
    (subnet,) = [each["subnet"] for each in compose["networks"]["inside"]["ipam"]["config"]]
    assert given["trusted_proxy"] == [subnet], "the proxy is believed"
    assert given["proxy_cert"] == Path("/tls/fullchain.pem") and relay["cap_drop"] == ["ALL"]
    context = (OPERATIONS / "compose" / relay["build"]["context"]).resolve()
    assert (context / relay["build"]["dockerfile"]).is_file()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            here = (OPERATIONS / "compose" / source).exists() or source == "./tls"
            assert here if source.startswith(".") else source in compose["volumes"]


def test_the_timer_and_the_backup_ask_for_what_there_is() -> None:
    text = (OPERATIONS / "posline-relay-backup.service").read_text()
    (line,) = re.findall(r"^ExecStart=\S+/posline-relay (.*)$", text, re.M)
    assert "file" in parsed(line.split())
    (line,) = re.findall(r"^ExecStart=\S+/posline-relay (.*) \$OPTIONS$", (OPERATIONS / UNITS[0]).read_text(), re.M)
    assert parsed(line.split())["log_format"] == "json"
