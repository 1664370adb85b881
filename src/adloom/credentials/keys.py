"""The certificate and the key that sign creatives: ES256, one of C2PA's algorithms."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from adloom.errors import ConfigError

LOCAL_CA, LOCAL_SIGNER = "adloom local CA", "adloom local signer"
LOCAL_VALIDITY = timedelta(days=3650)  # a signature without a time stamp is valid as long as its certificate
CLOCK_SKEW = timedelta(days=1)
ORGANISATION = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "adloom")
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True, repr=False)
class SigningKey:
    """A key and its certificates."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]  # the signer's certificate, then its issuers
    others: tuple[x509.Certificate, ...] = ()  # earlier certificates of signers, and their issuers

    @property
    def certificate(self) -> x509.Certificate:
        """The signer's certificate."""
        return self.chain[0]

    @property
    def key_pem(self) -> bytes:
        """The key as PEM, a secret."""
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The authorities of this certificate and of the earlier ones."""
        return tuple(certificate for certificate in (*self.chain, *self.others) if is_authority(certificate))

    @property
    def signers(self) -> tuple[x509.Certificate, ...]:
        """The signer's certificate and the earlier ones."""
        return tuple(certificate for certificate in (*self.chain, *self.others) if not is_authority(certificate))

    def owns(self, serial: int) -> bool:
        """Return whether a serial number of these issuers is a signer's."""
        return any(signer.serial_number == serial for signer in self.signers)


def parse_signing_key(certificates: bytes, key: bytes, now: datetime) -> SigningKey:
    """
    Parse PEM certificates and their key, and check that they can sign now. Raises ConfigError.

    The signer's certificate is first, then its issuers. Earlier certificates may follow.
    """
    first, *others = parse_certificates(certificates)
    private = _parse_key(key)
    if private.public_key() != first.public_key():
        raise ConfigError("the key belongs to another certificate; expected that of the first certificate in the file")
    if not first.not_valid_before_utc <= now < first.not_valid_after_utc:
        dates = f"{first.not_valid_before_utc:%Y-%m-%d} to {first.not_valid_after_utc:%Y-%m-%d}"
        raise ConfigError(f"the certificate is valid from {dates}, not now; renew it")
    issuers = tuple(takewhile(is_authority, others))
    if not issuers:
        raise ConfigError("the certificate's issuer is missing; expected the signer's certificate, then its issuers")
    return SigningKey(private, (first, *issuers), tuple(others[len(issuers) :]))


def parse_certificates(pem: bytes) -> list[x509.Certificate]:
    """Parse at least one PEM certificate. Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigError("no certificates in PEM; expected -----BEGIN CERTIFICATE-----") from None


def create_local_key(now: datetime) -> SigningKey:
    """Create a key with a certificate of its own authority, which can sign nothing else: its key is dropped."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _begin_certificate(LOCAL_CA, authority.public_key(), authority.public_key(), now)
    issuer = issuer.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    issuer = issuer.add_extension(_allow(key_cert_sign=True, crl_sign=True), critical=True)
    signer = _begin_certificate(LOCAL_SIGNER, key.public_key(), authority.public_key(), now)
    signer = signer.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    signer = signer.add_extension(_allow(digital_signature=True), critical=True)
    signer = signer.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return SigningKey(key, tuple(builder.sign(authority, hashes.SHA256()) for builder in (signer, issuer)))


def to_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Return certificates as PEM."""
    return b"".join(certificate.public_bytes(PEM) for certificate in certificates)


def is_authority(certificate: x509.Certificate) -> bool:
    """Return whether a certificate may issue others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def describe_name(name: x509.Name) -> str:
    """Return the common name of a certificate's subject or issuer, or its other parts."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _parse_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise ConfigError("the key is encrypted; expected one without a password") from None
    except ValueError:
        raise ConfigError("no key in PEM; expected -----BEGIN PRIVATE KEY-----") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError("the key is not of curve P-256 (ES256); `openssl ecparam -name prime256v1 -genkey` makes one")
    return key


def _begin_certificate(
    name: str, key: ec.EllipticCurvePublicKey, issuer: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOCAL_CA), ORGANISATION]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), ORGANISATION]),
        key,
        x509.random_serial_number(),
        now - CLOCK_SKEW,
        now + LOCAL_VALIDITY,
    )
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)


def _allow(**usages: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**{**dict.fromkeys(USAGES, False), **usages})
