"""The certificate of a host: for its addresses alone, renewed in time, good for a device that knows the day."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from posline.core.clock import Reading
from posline.errors import FolderDamaged
from posline.till.hosting.authority import LEAF_DAYS, RENEW_DAYS, Authority, is_private
from tests.till.hosting.hosts import hosting, paired, phone

DAY_MS = 86_400_000
NOON_MS = 1_795_417_200_000
HOSTS = ["192.168.1.20", "fd00::7", "till.local"]


def known(at_ms: int = NOON_MS) -> Reading:
    return Reading(at_ms, "confirmed")


def leaf(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "hosting.pem").read_bytes())


def good_at(folder: Path, at_ms: int) -> bool:
    found, at = leaf(folder), datetime.fromtimestamp(at_ms / 1000, UTC)
    return found.not_valid_before_utc <= at < found.not_valid_after_utc


def test_a_leaf_is_for_the_private_addresses_of_the_day_and_no_longer_than_browsers_take(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Posline Test A")
    assert authority.renew([*HOSTS, "8.8.8.8", "shop.example.com"], known(), 0)
    found = leaf(tmp_path)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["till.local"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.20", "fd00::7"]
    assert found.not_valid_after_utc - found.not_valid_before_utc <= timedelta(days=LEAF_DAYS)
    assert found.signature_algorithm_oid == x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256
    assert good_at(tmp_path, NOON_MS) and good_at(tmp_path, NOON_MS - DAY_MS), "a clock may lie a day behind"
    for name in ("hosting-ca-key", "hosting-key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_it_is_renewed_before_its_end_and_when_addresses_change_and_not_otherwise(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Test")
    assert authority.renew(HOSTS, known(), 0)
    assert not authority.renew(HOSTS, known(NOON_MS + 300 * DAY_MS), 0)
    assert not Authority(tmp_path, "Test").renew(HOSTS, known(NOON_MS), 0), "it is kept over a restart"
    assert authority.renew(HOSTS, known(NOON_MS + (LEAF_DAYS - RENEW_DAYS) * DAY_MS), 0)
    assert authority.renew([*HOSTS, "10.0.0.5"], known(NOON_MS + 400 * DAY_MS), 0)
    assert authority.renew(HOSTS, known(NOON_MS), 0), "the clock was wrong, and is right now"
    assert good_at(tmp_path, NOON_MS)


WRONG_MS = [0, NOON_MS - 50 * DAY_MS, NOON_MS + 150 * DAY_MS]


@pytest.mark.parametrize("wrong_ms", WRONG_MS, ids=["1970", "behind", "ahead"])
@pytest.mark.parametrize("trust", ["unconfirmed", "suspect"])
def test_a_host_that_does_not_know_the_day_makes_one_that_a_right_clock_takes(
    tmp_path: Path, trust: str, wrong_ms: int
) -> None:
    floor_ms = NOON_MS - 100 * DAY_MS  # when this version was built, or the time was last known
    guess_ms = max(wrong_ms, floor_ms)  # as the clock answers
    assert Authority(tmp_path, "Test").renew(HOSTS, Reading(guess_ms, trust), floor_ms)  # type: ignore[arg-type]
    assert good_at(tmp_path, NOON_MS)
    assert leaf(tmp_path).not_valid_after_utc - leaf(tmp_path).not_valid_before_utc <= timedelta(days=LEAF_DAYS)


def test_the_authority_is_believed_for_private_names_alone(tmp_path: Path) -> None:
    found = x509.load_der_x509_certificate(Authority(tmp_path, "Test").certificate)
    constraints = found.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical and constraints.value.excluded_subtrees is None
    permitted = {str(each.value) for each in constraints.value.permitted_subtrees or ()}
    assert {"local", "lan", "home.arpa", "10.0.0.0/8", "192.168.0.0/16"} <= permitted
    assert all(is_private(text.partition("/")[0]) for text in permitted)


@pytest.mark.parametrize("host", ["8.8.8.8", "example.com", "local.example.com", "notlocal", "2001:db8::1", ""])
def test_what_is_not_private(host: str) -> None:
    assert not is_private(host)


@pytest.mark.parametrize("host", ["192.168.0.9", "till.local", "TILL.LAN", "x.home.arpa", "[fd00::1]"])
def test_what_is_private(host: str) -> None:
    assert is_private(host)


def test_half_an_authority_is_told_and_half_a_leaf_is_made_anew(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Test")
    authority.renew(HOSTS, known(), 0)
    (tmp_path / "hosting.pem").write_bytes(b"-----BEGIN")
    assert Authority(tmp_path, "Test").renew(HOSTS, known(), 0)
    (tmp_path / "hosting-ca.pem").write_bytes(b"-----BEGIN")
    with pytest.raises(FolderDamaged, match="delete both"):
        Authority(tmp_path, "Test")


async def test_a_new_leaf_is_shown_without_a_restart_and_connections_stay(tmp_path: Path) -> None:
    async with hosting(tmp_path) as (_, host):
        device = await paired(host)
        first = await _shown(host.port)
        assert host.authority.renew([*host.authority.hosts, "10.9.8.7"], known(NOON_MS), 0)
        host._listener.renew(host.authority.tls)  # type: ignore[union-attr]
        assert (await device.ask("GET", "/api/status")).status_code == 200
        second = await _shown(host.port)
        assert first != second and "10.9.8.7" in str(x509.load_der_x509_certificate(second).extensions)


async def _shown(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(found)


async def test_a_browser_that_does_not_trust_the_authority_is_not_fooled(tmp_path: Path) -> None:
    async with hosting(tmp_path / "a") as (_, host):
        other = Authority(tmp_path, "somebody else's")
        stranger = phone(host).client
        stranger._transport = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cadata=other.pem.decode()))
        with pytest.raises(httpx.ConnectError):
            await stranger.get("/pair")
