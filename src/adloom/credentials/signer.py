"""Sign pictures with C2PA manifests (C2PA 2.x: signed statements about a picture, inside its file)."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import c2pa

from adloom import __version__
from adloom.credentials.containers import digest_pixels
from adloom.credentials.keys import SigningKey, to_pem
from adloom.credentials.metadata import add_metadata
from adloom.credentials.origin import SOURCE_TYPES, Origin
from adloom.data.picture_files import PictureError
from adloom.data.single_picture import find_media_type
from adloom.errors import UnavailableError

GENERATION = "org.adloom.generation"  # label of the assertion with the origin
SETTINGS: Mapping[str, Any] = {
    "version": 1,
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {
        "thumbnail": {"enabled": False},  # larger than a small picture
        "created_assertion_labels": ["c2pa.actions", GENERATION],
        "actions": {"auto_placed_action": {"enabled": True}},
    },
}


@dataclass(frozen=True)
class Ingredient:
    """A picture that another was made from; its own manifest is carried along."""

    title: str
    picture: bytes
    relationship: Literal["inputTo", "componentOf"] = "inputTo"  # of a model; a layer of a composition

    @property
    def definition(self) -> dict[str, str]:
        """C2PA's description, with the id of the picture's bytes."""
        digest = hashlib.sha256(self.picture).hexdigest()
        return {"title": self.title, "relationship": self.relationship, "instance_id": f"sha256:{digest}"}


class PictureSigner:
    """Signs pictures by one key; threads may share it."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key

    def sign_picture(self, picture: bytes, origin: Origin, ingredients: Sequence[Ingredient] = ()) -> bytes:
        """
        Return a PNG, JPEG or WebP with a signed manifest, XMP and, in a PNG, text; its pixels are the same.

        The manifest has a time and random ids, so its bytes differ each time. Raises UnavailableError.
        """
        described = add_metadata(picture, origin)
        media_type, signed = find_media_type(picture), io.BytesIO()
        try:
            with c2pa.Builder(_describe(described, origin), self._context) as builder:
                for ingredient in ingredients:
                    _add_ingredient(builder, ingredient)
                builder.sign(media_type, io.BytesIO(described), signed)
        except c2pa.C2paError as error:
            raise UnavailableError(f"the picture cannot be signed: {error}") from None
        return signed.getvalue()

    @cached_property
    def _context(self) -> c2pa.Context:
        info = c2pa.C2paSignerInfo("es256", to_pem(self.key.chain), self.key.key_pem, None)  # None: no time stamps
        trust = {"user_anchors": to_pem(self.key.authorities).decode()}  # of ingredients
        return c2pa.Context.from_dict({**SETTINGS, "trust": trust}, signer=c2pa.Signer.from_info(info))


def _add_ingredient(builder: c2pa.Builder, ingredient: Ingredient) -> None:
    """Add an ingredient with the manifest in its file, or just by id when the file is of another kind."""
    try:
        media_type = find_media_type(ingredient.picture)
        builder.add_ingredient(ingredient.definition, media_type, io.BytesIO(ingredient.picture))
    except (c2pa.C2paError, PictureError):
        builder.add_ingredient(ingredient.definition, "application/octet-stream", io.BytesIO())


def _describe(picture: bytes, origin: Origin) -> dict[str, Any]:
    """Return the manifest's definition."""
    model = {"name": origin.model, **({"version": str(origin.version)} if origin.version is not None else {})}
    created = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPES + origin.source_type,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "softwareAgent": model,
    }
    generation = {**asdict(origin), "pixels": digest_pixels(picture)}
    return {
        "claim_generator_info": [{"name": "adloom", "version": __version__}],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": GENERATION, "data": generation},
        ],
    }
