"""This device's certificate: made once, fit for its addresses, and of no use to a calendar."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID

from posline.errors import FolderDamaged
from posline.trust.certificate import Tls, dialling_context, fingerprint_of, own_certificate

OWN = "a" * 26


def leaf_of(tls: Tls) -> x509.Certificate:
    return x509.load_pem_x509_certificates(tls.certificate.read_bytes())[0]


def test_key_and_root_stay_and_the_leaf_follows_the_addresses(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, OWN, ["192.168.1.20"])
    root, print_ = first.root.read_bytes(), first.tls.fingerprint
    second = own_certificate(tmp_path, OWN, ["10.0.0.9", "fd00::7", "till-2.lan", "شاپ.example"])
    assert second.root.read_bytes() == root and second.tls.fingerprint == print_, "invitations and programs go on"
    names = leaf_of(second.tls).extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(names, x509.SubjectAlternativeName)
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1", "10.0.0.9", "fd00::7"}
    assert {"localhost", "till-2.lan", f"{OWN}.posline"} <= set(names.get_values_for_type(x509.DNSName))
    der = leaf_of(second.tls).public_bytes(serialization.Encoding.DER)
    assert fingerprint_of(der) == print_
    other = own_certificate(_folder(tmp_path), OWN, [])
    assert other.tls.fingerprint != print_, "each device has its own"


def _folder(tmp_path: Path) -> Path:
    path = tmp_path / "other"
    path.mkdir()
    return path


def test_it_is_good_in_1970_and_in_9999(tmp_path: Path) -> None:
    leaf = leaf_of(own_certificate(tmp_path, OWN, []).tls)
    assert (leaf.not_valid_before_utc.year, leaf.not_valid_after_utc.year) == (1970, 9999)


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    found = own_certificate(tmp_path, OWN, [])
    assert stat.S_IMODE(found.tls.key.stat().st_mode) == 0o600


def test_an_ordinary_program_can_trust_the_root(tmp_path: Path) -> None:
    """Its chain verifies under an ordinary context, name and all: that is what `token add` gives it the file for."""
    found = own_certificate(tmp_path, OWN, ["192.168.1.20"])
    near, far = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(found.tls.certificate, found.tls.key)
    client = ssl.create_default_context(cafile=str(found.root)).wrap_bio(near, far, server_hostname="192.168.1.20")
    server = serving.wrap_bio(far, near, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3" and client.getpeercert()


def test_a_key_that_is_damaged_is_named_and_not_replaced_in_silence(tmp_path: Path) -> None:
    found = own_certificate(tmp_path, OWN, [])
    found.tls.key.write_bytes(found.tls.key.read_bytes()[:40])
    with pytest.raises(FolderDamaged, match="delete it, and a new one is made"):
        own_certificate(tmp_path, OWN, [])
    found.tls.key.unlink()
    assert own_certificate(tmp_path, OWN, []).tls.fingerprint
    found.root.write_text("not a certificate")
    assert own_certificate(tmp_path, OWN, []).root.read_text().startswith("-----BEGIN")


def test_no_tls_before_1_3_is_spoken(tmp_path: Path) -> None:
    assert dialling_context().minimum_version is ssl.TLSVersion.TLSv1_3
