"""Issue creatives: describe and sign them. The libraries that sign are imported on first use; decisions need none."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from adloom.config.settings import Settings
from adloom.credentials.origin import Origin
from adloom.errors import ConfigError
from adloom.serving.models.loader import LoadedModel

if TYPE_CHECKING:
    from adloom.credentials.keys import SigningKey
    from adloom.credentials.signer import Ingredient, PictureSigner


class Issuer:
    """Signs what the models make; threads may share it."""

    def __init__(self, open_key: "Callable[[], SigningKey]") -> None:
        self._open_key = open_key

    @cached_property
    def key(self) -> "SigningKey":
        """The key that signs. Raises ConfigError."""
        return self._open_key()

    def issue_pictures(
        self, pictures: Sequence[bytes], origins: Sequence[Origin], ingredients: "Sequence[Ingredient]" = ()
    ) -> list[bytes]:
        """Return the pictures of one request, signed. Raises UnavailableError."""
        return [
            self._signer.sign_picture(picture, origin, ingredients)
            for picture, origin in zip(pictures, origins, strict=True)
        ]

    @cached_property
    def _signer(self) -> "PictureSigner":
        from adloom.credentials.signer import PictureSigner

        return PictureSigner(self.key)


def open_issuer(settings: Settings) -> Issuer:
    """Return an issuer with the configured key, or that of this machine. Raises ConfigError unless it can sign."""
    from adloom.credentials.verification import find_key_fault
    from adloom.serving.creatives.signing_keys import CERTIFICATE, open_signing_key

    key = open_signing_key(settings)
    if fault := find_key_fault(key):
        raise ConfigError(f"{CERTIFICATE}={settings.credentials_certificate}: C2PA does not accept it: {fault}")
    return Issuer(lambda: key)


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
