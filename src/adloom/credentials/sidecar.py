"""
Sign lines of copy and melodies by a sidecar, a JSON Web Signature (RFC 7515, flattened JSON, ES256) next to the file.

Its payload has the digest and the origin of the content, its header the signer's certificates.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509 import BasicConstraints, KeyUsage
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adloom.credentials.keys import SigningKey, describe_name, is_authority
from adloom.credentials.origin import Origin
from adloom.credentials.records import Sidecar, Verification

ALGORITHM, TYPE = "ES256", "adloom-sidecar"
NUMBER_BYTES = 32  # of each half of a signature


class _Header(BaseModel):
    alg: str
    typ: str
    x5c: list[str] = Field(min_length=1, max_length=8)


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid")

    content: str  # its digest
    made_at: datetime
    origin: Origin


def sign_content(content: bytes, origin: Origin, key: SigningKey) -> Sidecar:
    """Return the sidecar of a line in UTF-8 or of a file."""
    chain = [one.public_bytes(serialization.Encoding.DER) for one in key.chain if one.subject != one.issuer]
    certificates = [base64.b64encode(one).decode() for one in chain]
    header = _Header(alg=ALGORITHM, typ=TYPE, x5c=certificates)
    payload = _Payload(content=_digest(content), made_at=datetime.now(UTC), origin=origin)
    protected, body = (_encode(part.model_dump_json().encode()) for part in (header, payload))
    numbers = decode_dss_signature(key.key.sign(f"{protected}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
    signature = b"".join(number.to_bytes(NUMBER_BYTES, "big") for number in numbers)
    return Sidecar(protected=protected, payload=body, signature=_encode(signature))


def verify_content(
    content: bytes, sidecar: Sidecar | None, key: SigningKey, trusted: Sequence[x509.Certificate] = ()
) -> Verification:
    """Verify a line or a file by its sidecar; without one it is stripped."""
    if sidecar is None:
        return Verification("stripped")
    try:
        header = _Header.model_validate_json(_decode(sidecar.protected))
        payload = _Payload.model_validate_json(_decode(sidecar.payload))
        certificates = [x509.load_der_x509_certificate(base64.b64decode(one, validate=True)) for one in header.x5c]
        _check_signature(sidecar, header, certificates[0])
    except (ValidationError, ValueError, InvalidSignature):
        return Verification("changed", ("manifest",))
    signer, now = certificates[0], datetime.now(UTC)
    is_valid = signer.not_valid_before_utc <= now < signer.not_valid_after_utc
    is_same = payload.content == _digest(content)
    return Verification(
        "changed" if not is_same else "whole" if is_valid else "expired",
        () if is_same else ("content",),
        signer in key.signers,
        describe_name(signer.subject),
        describe_name(signer.issuer) if _is_trusted(certificates, trusted) else None,
        payload.made_at.isoformat(timespec="seconds"),
        payload.origin,
    )


def _check_signature(sidecar: Sidecar, header: _Header, signer: x509.Certificate) -> None:
    """Raise InvalidSignature or ValueError."""
    public, signature = signer.public_key(), _decode(sidecar.signature)
    if (header.alg, header.typ) != (ALGORITHM, TYPE) or len(signature) != 2 * NUMBER_BYTES:
        raise ValueError("of another algorithm or type")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise ValueError("of another curve")
    halves = (int.from_bytes(half, "big") for half in (signature[:NUMBER_BYTES], signature[NUMBER_BYTES:]))
    public.verify(
        encode_dss_signature(*halves), f"{sidecar.protected}.{sidecar.payload}".encode(), ec.ECDSA(hashes.SHA256())
    )


def _is_trusted(certificates: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]) -> bool:
    """Return whether a chain leads to a trusted authority now."""
    if not trusted or is_authority(certificates[0]):
        return False
    authority = ExtensionPolicy.permit_all().require_present(BasicConstraints, Criticality.AGNOSTIC, _require_authority)
    authority = authority.may_be_present(KeyUsage, Criticality.AGNOSTIC, _require_issuing)
    policy = PolicyBuilder().store(Store(list(trusted)))
    policy = policy.extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
    try:
        policy.build_client_verifier().verify(certificates[0], list(certificates[1:]))
    except VerificationError:
        return False
    return True


def _require_authority(_: Policy, __: x509.Certificate, constraints: BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("not an authority")


def _require_issuing(_: Policy, __: x509.Certificate, usage: KeyUsage | None) -> None:
    if usage and not usage.key_cert_sign:
        raise ValueError("issues no certificates")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """Decode base64url without padding. Raises ValueError, also for an encoding that is not the shortest."""
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encode(content) != text:
        raise ValueError("not canonical base64url")
    return content
