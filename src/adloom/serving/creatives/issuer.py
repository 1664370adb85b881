"""
Issue creatives, and verify them: sign pictures and lines, and keep an index of the pictures.

The libraries that sign are imported on first use, because decisions need none.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adloom.config.settings import Settings
from adloom.credentials.origin import WITHOUT_MODEL, Origin
from adloom.credentials.records import Sidecar, Verification
from adloom.data.picture_files import PictureError
from adloom.errors import ConfigError
from adloom.serving.models.loader import LoadedModel

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from adloom.credentials.keys import SigningKey
    from adloom.credentials.signer import Ingredient, PictureSigner
    from adloom.credentials.verification import PictureVerifier
    from adloom.serving.creatives.issued_pictures import IssuedMatch, IssuedPictures

INDEX = "issued.db"  # in the folder of the key
UNKNOWN = Origin("unknown")  # a model, says a manifest that another signed

logger = logging.getLogger(__name__)


class Issuer:
    """Signs what the models make, and verifies; threads may share it."""

    def __init__(
        self, open_key: "Callable[[], SigningKey]", trusted: "Sequence[Certificate]" = (), index: Path | None = None
    ) -> None:
        """`index` is the file of the index of issued pictures, which otherwise ends with the process."""
        self._open_key, self._trusted, self._file = open_key, tuple(trusted), index

    def issue_pictures(
        self, pictures: Sequence[bytes], origins: Sequence[Origin], ingredients: "Sequence[Ingredient]" = ()
    ) -> list[bytes]:
        """Return the pictures of one request, signed. Raises UnavailableError."""
        issued = [
            self._signer.sign_picture(picture, origin, ingredients)
            for picture, origin in zip(pictures, origins, strict=True)
        ]
        try:
            self._index.add(issued, origins)
        except (sqlite3.Error, OSError, PictureError) as error:  # PictureError: too long and narrow for the index
            logger.warning("%s: %s; %d pictures are signed and not in the index", self._file, error, len(issued))
        return issued

    def issue_lines(self, lines: Sequence[str], origin: Origin) -> list[Sidecar]:
        """Return the sidecars of the lines of one request."""
        return [self.issue_file(line.encode(), replace(origin, number=number)) for number, line in enumerate(lines)]

    def issue_file(self, content: bytes, origin: Origin) -> Sidecar:
        """Return the sidecar of a file that has no place for credentials. Raises ConfigError."""
        from adloom.credentials.sidecar import sign_content

        return sign_content(content, origin, self.key)

    def verify_picture(self, picture: bytes) -> "tuple[Verification, IssuedMatch | None]":
        """Verify a picture; unless it is whole, search the index. Raises PictureError."""
        verification = self._verifier.verify(picture)
        if verification.state == "whole":
            return verification, None
        try:
            return verification, self._index.search(picture)
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s: %s; the picture was not searched", self._file, error)
            return verification, None

    def find_origin(self, picture: bytes) -> Origin | None:
        """Return the origin of a picture if a model made it, by its credentials or the index. Raises PictureError."""
        verification, match = self.verify_picture(picture)
        origin = match.origin if match else verification.origin
        if origin is None or origin.source_type == WITHOUT_MODEL:
            return None
        return origin if match or verification.ours else replace(UNKNOWN, source_type=origin.source_type)

    def verify_content(self, content: bytes, sidecar: Sidecar | None) -> Verification:
        """Verify a line or a file by its sidecar."""
        from adloom.credentials.sidecar import verify_content

        return verify_content(content, sidecar, self.key, self._trusted)

    def find_expiry(self) -> float:
        """Return the Unix time at which the certificate expires."""
        return self.key.certificate.not_valid_after_utc.timestamp()

    @cached_property
    def key(self) -> "SigningKey":
        """The key that signs. Raises ConfigError."""
        return self._open_key()

    @cached_property
    def _signer(self) -> "PictureSigner":
        from adloom.credentials.signer import PictureSigner

        return PictureSigner(self.key)

    @cached_property
    def _verifier(self) -> "PictureVerifier":
        from adloom.credentials.verification import PictureVerifier

        return PictureVerifier(self.key, self._trusted)

    @cached_property
    def _index(self) -> "IssuedPictures":
        from adloom.serving.creatives.issued_pictures import IssuedPictures

        return IssuedPictures(self._file)


def open_issuer(settings: Settings) -> Issuer:
    """Return an issuer with the configured key, or that of this machine. Raises ConfigError unless it can sign."""
    from adloom.credentials.verification import find_key_fault
    from adloom.serving.creatives.signing_keys import CERTIFICATE, FOLDER, open_signing_key, read_trusted

    key = open_signing_key(settings)
    if fault := find_key_fault(key):
        advice = "expected one with key usage digitalSignature and extended key usage emailProtection"
        raise ConfigError(f"{CERTIFICATE}={settings.credentials_certificate}: C2PA refuses it: {fault}; {advice}")
    return Issuer(lambda: key, read_trusted(settings), settings.home / FOLDER / INDEX)


def find_issuer(settings: Settings) -> Issuer:
    """Return the issuer of this machine, or one that has signed nothing yet. Raises ConfigError."""
    from adloom.serving.creatives.signing_keys import has_signing_key, read_trusted

    if has_signing_key(settings):
        return open_issuer(settings)
    return Issuer(lambda: create_memory_issuer().key, read_trusted(settings))


def create_memory_issuer() -> Issuer:
    """Return an issuer with a key that ends with the process."""

    def create() -> "SigningKey":
        from adloom.credentials.keys import create_local_key

        return create_local_key(datetime.now(UTC))

    return Issuer(create)


def describe_origin(model: LoadedModel[Any], seed: int | None, facts: Mapping[str, str], **fields: Any) -> Origin:
    """Return the origin of what a served model makes."""
    name, version, digest = model.origin.name, model.origin.version, model.origin.digest
    return Origin(name, version, digest, model.dataset, seed, facts=facts, **fields)
