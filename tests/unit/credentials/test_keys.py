"""Signing keys: a made one is sound and private, and each mistake in a configured one is named."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.support.signed_pictures import KEY, OTHER_KEY

from adloom.credentials.keys import create_local_key, describe_name, is_authority, parse_signing_key, to_pem
from adloom.errors import ConfigError

NOW = datetime.now(UTC)
CHAIN = to_pem(KEY.chain)


def encode_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_a_local_key_reads_back() -> None:
    parsed = parse_signing_key(CHAIN, KEY.key_pem, NOW)
    assert (parsed.chain, parsed.others) == (KEY.chain, ())
    assert [is_authority(certificate) for certificate in parsed.chain] == [False, True]
    assert describe_name(parsed.certificate.issuer) == "adloom local CA"
    KEY.certificate.verify_directly_issued_by(KEY.chain[1])


def test_a_key_is_not_printed() -> None:
    assert "PRIVATE" not in repr(KEY)
    assert str(KEY.key.private_numbers().private_value) not in repr(KEY)


def test_earlier_certificates_stay_ours() -> None:
    rotated = parse_signing_key(CHAIN + to_pem(OTHER_KEY.chain), KEY.key_pem, NOW)
    serials = [key.certificate.serial_number for key in (KEY, OTHER_KEY, create_local_key(NOW))]
    assert [rotated.owns(serial) for serial in serials] == [True, True, False]
    assert not rotated.owns(KEY.chain[1].serial_number), "an authority signs no creative"
    assert set(rotated.authorities) == {KEY.chain[1], OTHER_KEY.chain[1]}


@pytest.mark.parametrize(
    ("certificates", "key", "message"),
    [
        (b"", KEY.key_pem, "no certificates in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n", KEY.key_pem, "no certificates in PEM"),
        (CHAIN, b"", "no key in PEM"),
        (CHAIN, CHAIN, "no key in PEM"),
        (CHAIN, encode_key(KEY.key, b"secret"), "the key is encrypted"),
        (CHAIN, OTHER_KEY.key_pem, "the key belongs to another certificate"),
        (CHAIN, encode_key(rsa.generate_private_key(65537, 2048)), "not of curve P-256"),
        (CHAIN, encode_key(ec.generate_private_key(ec.SECP384R1())), "not of curve P-256"),
        (to_pem(KEY.chain[:1]), KEY.key_pem, "the certificate's issuer is missing"),
    ],
)
def test_a_mistake_is_named_without_the_key(certificates: bytes, key: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        parse_signing_key(certificates, key, NOW)
    assert "\n" not in str(raised.value)
    assert not any(line in str(raised.value) for line in key.decode().splitlines()[1:-1])


@pytest.mark.parametrize("years", [-1, 11])
def test_a_certificate_of_another_time_is_refused(years: int) -> None:
    with pytest.raises(ConfigError, match=r"valid from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d, not now; renew it"):
        parse_signing_key(CHAIN, KEY.key_pem, NOW + timedelta(days=365 * years))
