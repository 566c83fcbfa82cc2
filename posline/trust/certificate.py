"""TLS: this device's certificate, and the contexts of both ends. X.509 is only the container that TLS needs.

A device makes its own P-256 key once. It signs a root that never changes, for programs that want something to trust,
and at each start a leaf for the addresses that it has then. Devices look at neither name nor date: they compare the
fingerprint of the key with what was signed in the handshake (`posline.trust.handshake`) or printed in an invitation.
So nothing between members depends on a calendar: with a clock at 1970 an ordinary check says "not yet valid".
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from posline.core.base64url import base64url
from posline.errors import FolderDamaged
from posline.storage.files import write_atomically

__all__ = [
    "ROOT_FILE",
    "Certificate",
    "Tls",
    "dialling_context",
    "fingerprint_of",
    "fingerprint_of_peer",
    "own_certificate",
]

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
NAMES_MAX = 64  # in one leaf
KEY_FILE, ROOT_FILE, CHAIN_FILE = "tls-key", "certificate.pem", "tls-chain.pem"


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """As `fingerprint_of` the first certificate of the chain. Raises ValueError, OSError."""
        found = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return fingerprint_of(found.public_bytes(serialization.Encoding.DER))


@dataclass(frozen=True, slots=True)
class Certificate:
    """This device's own: what to serve with, and the root that a program must trust."""

    tls: Tls
    root: Path


def fingerprint_of(der: bytes) -> str:
    """SHA-256 over the public key (SubjectPublicKeyInfo) of a certificate, in base64url. Raises ValueError."""
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64url(hashlib.sha256(spki).digest())


def fingerprint_of_peer(connection: object) -> str:
    """The fingerprint of the certificate at the other end of a TLS connection (an `ssl` object, or None: ""). That the
    other end has its key is what TLS itself proves."""
    if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
        return ""
    der = connection.getpeercert(binary_form=True)
    return "" if der is None else fingerprint_of(der)


def dialling_context() -> ssl.SSLContext:
    """For connections to other devices: any certificate will do here, since its fingerprint is compared right after,
    before anything is said. TLS 1.3 alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def own_certificate(folder: Path, called: str, addresses: Iterable[str]) -> Certificate:
    """The certificate of the device that lives in `folder`, made at the first call; its leaf is for `addresses` (names
    or IP addresses). Raises FolderDamaged."""
    key = _key(folder / KEY_FILE)
    root_file = folder / ROOT_FILE
    root = _read(root_file, key) or _root(key, called)
    write_atomically(root_file, root.public_bytes(serialization.Encoding.PEM), mode=0o644)
    leaf = _leaf(key, root, ["localhost", "127.0.0.1", "::1", f"{called}.posline", *addresses])
    chain = folder / CHAIN_FILE
    write_atomically(chain, b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (leaf, root)), mode=0o644)
    return Certificate(Tls(chain, folder / KEY_FILE), root_file)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomically(path, pem, mode=0o600)
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise ValueError("another kind of key")
    except ValueError as error:
        raise FolderDamaged(
            f"the file {path} is not whole: delete it, and a new one is made at the next start (invitations that are "
            "open then, and programs that trust the old certificate, need the new one)"
        ) from error
    return found


def _read(path: Path, key: ec.EllipticCurvePrivateKey) -> x509.Certificate | None:
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        return found if found.public_key() == key.public_key() else None
    except (OSError, ValueError):
        return None


def _root(key: ec.EllipticCurvePrivateKey, called: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Posline {called}")])
    return (
        _builder(key, name, name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(key: ec.EllipticCurvePrivateKey, root: x509.Certificate, addresses: list[str]) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "posline")])
    names = [_name(each) for each in dict.fromkeys(addresses)][:NAMES_MAX]
    return (
        _builder(key, name, root.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _builder(key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST)
        .not_valid_after(LAST)
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return x509.DNSName(text.encode("idna").decode() if not text.isascii() else text)
