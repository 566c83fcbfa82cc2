"""The certificate under which a host's second listener answers browsers, and the authority that signs it.

Browsers, unlike members, look at names and dates, and take no Ed25519. So a host has an authority of its own, which the
devices that it hosts install once: ECDSA P-256, constrained to private addresses and local names, so that whoever
steals its key can pretend to be nothing else. It signs leaves of at most 397 days for the addresses of the day. This is
the one place with a calendar, and a machine that does not know the day chooses dates that a device which does accepts.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from posline.core.clock import Reading
from posline.errors import FolderDamaged
from posline.storage.files import write_atomically
from posline.trust.certificate import Tls

__all__ = ["Authority", "is_private"]

BEGINS, ENDS = datetime(2024, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)  # of each one: no clock is asked
LEAF_DAYS = 397  # the most that browsers take
RENEW_DAYS = 30  # before its end
EARLY = timedelta(days=2)  # that a device's clock may lie behind
DAY_MS = 86_400_000
NAMES_MAX = 32
CA_KEY, CA_FILE, LEAF_KEY, LEAF_FILE = "hosting-ca-key", "hosting-ca.pem", "hosting-key", "hosting.pem"
LOCAL_NAMES = ("local", "lan", "home.arpa", "localhost")
PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "::1/128",
        "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
PEM = serialization.Encoding.PEM


def is_private(host: str) -> bool:
    """Whether a name or an address is one that the authority may vouch for."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = host.lower().rstrip(".")
        return any(name == local or name.endswith("." + local) for local in LOCAL_NAMES)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in network for network in PRIVATE if network.version == (mapped or address).version)


@dataclass(frozen=True, slots=True)
class _Made:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


class Authority:
    """The authority of the host that lives in a folder, and its leaf. Made when it is first asked for."""

    def __init__(self, folder: Path, called: str) -> None:
        """`called` is what people see as its name when they install it. Raises FolderDamaged."""
        self._folder = folder
        self._own = self._read() or self._make(called)
        self.hosts: tuple[str, ...] = ()  # that the leaf is for
        self._ends: datetime | None = None

    @property
    def certificate(self) -> bytes:
        """What devices install, as DER."""
        return self._own.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The same as PEM."""
        return self._own.certificate.public_bytes(PEM)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over it, as phones show it: pairs of hex digits."""
        return ":".join(f"{byte:02X}" for byte in hashlib.sha256(self.certificate).digest())

    @property
    def tls(self) -> Tls:
        """The leaf's chain and key."""
        return Tls(self._folder / LEAF_FILE, self._folder / LEAF_KEY)

    @property
    def ends(self) -> datetime | None:
        """When the leaf ends."""
        return self._ends

    def renew(self, hosts: Sequence[str], now: Reading, floor_ms: int) -> bool:
        """Sign a leaf for these names and addresses, unless the one that is there is for them and good for a while;
        whether there is another one now. Nothing of `hosts` that is not private is in it. `floor_ms` is a time that is
        surely past."""
        wanted = tuple(dict.fromkeys(host.strip("[]").lower() for host in hosts if is_private(host)))[:NAMES_MAX]
        begin, end = _validity(now, floor_ms)
        held = self._leaf()
        if held is not None and self._fits(held, wanted, now, end):
            self.hosts, self._ends = wanted, held.not_valid_after_utc
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._sign(key, wanted, begin, end)
        write_atomically(self._folder / LEAF_KEY, _pem_of(key), mode=0o600)
        write_atomically(self._folder / LEAF_FILE, leaf.public_bytes(PEM) + self.pem, mode=0o644)
        self.hosts, self._ends = wanted, end
        return True

    def _fits(self, leaf: x509.Certificate, wanted: Sequence[str], now: Reading, end: datetime) -> bool:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = {str(value) for kind in (x509.DNSName, x509.IPAddress) for value in names.get_values_for_type(kind)}
        if found != set(wanted) or leaf.issuer != self._own.certificate.subject:
            return False
        if now.trust != "confirmed":  # nobody knows better than when it was made
            return leaf.not_valid_before_utc <= _moment(now.at_ms) < leaf.not_valid_after_utc
        left = leaf.not_valid_after_utc - _moment(now.at_ms)
        return leaf.not_valid_before_utc <= _moment(now.at_ms) and left > timedelta(days=RENEW_DAYS)

    def _leaf(self) -> x509.Certificate | None:
        try:
            leaf = x509.load_pem_x509_certificate((self._folder / LEAF_FILE).read_bytes())
            leaf.verify_directly_issued_by(self._own.certificate)
            key = serialization.load_pem_private_key((self._folder / LEAF_KEY).read_bytes(), password=None)
            return leaf if key.public_key() == leaf.public_key() else None
        except Exception:  # none, not whole, or another authority's: a new one is made
            return None

    def _sign(
        self, key: ec.EllipticCurvePrivateKey, hosts: Iterable[str], begin: datetime, end: datetime
    ) -> x509.Certificate:
        own = self._own.certificate.public_key()
        assert isinstance(own, ec.EllipticCurvePublicKey)
        return (
            _builder(key, _name("Posline till"), self._own.certificate.subject, begin, end)
            .add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
            .sign(self._own.key, hashes.SHA256())
        )

    # -- the authority itself ------------------------------------------------------------------------------------------

    def _read(self) -> _Made | None:
        key_file, file = self._folder / CA_KEY, self._folder / CA_FILE
        if not key_file.exists():
            return None
        try:
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
                raise ValueError("they are not of one kind")
        except (OSError, ValueError) as error:
            raise FolderDamaged(
                f"{key_file} and {file}, by which phones and tablets know this till, are not whole ({error}): delete "
                "both, and a new authority is made, which each device has to install"
            ) from error
        return _Made(key, certificate)

    def _make(self, called: str) -> _Made:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(called)
        networks = [x509.IPAddress(network) for network in PRIVATE]
        names = [x509.DNSName(local) for local in LOCAL_NAMES]
        certificate = (
            _builder(key, name, name, BEGINS, ENDS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(x509.NameConstraints([*names, *networks], None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_atomically(self._folder / CA_FILE, certificate.public_bytes(PEM), mode=0o644)
        write_atomically(self._folder / CA_KEY, _pem_of(key), mode=0o600)  # last: it says that both are there
        return _Made(key, certificate)


def _validity(now: Reading, floor_ms: int) -> tuple[datetime, datetime]:
    """From when to when a leaf made now is good. Where the time is only a guess, it is some time after `floor_ms`: the
    leaf begins there if it then still has half its life before it, and else well before the guess."""
    if now.trust == "confirmed":
        begin_ms = now.at_ms
    else:
        begin_ms = max(min(floor_ms, now.at_ms), now.at_ms - LEAF_DAYS // 2 * DAY_MS)
    begin = _moment(begin_ms).replace(microsecond=0) - EARLY
    return begin, begin + timedelta(days=LEAF_DAYS)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:60])])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign, key_cert_sign=sign, crl_sign=sign, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _builder(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
