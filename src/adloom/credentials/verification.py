"""Verify pictures: whether the manifest and the pixels are as signed, by whom, and who trusts the signer."""

import io
import json
from collections.abc import Mapping
from typing import Any, Literal

import c2pa
from cryptography import x509
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from adloom.credentials.containers import digest_pixels
from adloom.credentials.keys import SigningKey, to_pem
from adloom.credentials.origin import Origin
from adloom.credentials.records import Part, UsedIngredient, Verification
from adloom.credentials.signer import GENERATION, SETTINGS, PictureSigner
from adloom.data.picture_files import PictureError
from adloom.data.single_picture import find_media_type
from adloom.errors import UnavailableError

MISMATCH = "assertion.dataHash.mismatch"  # the file's bytes outside the manifest
EXPIRED = frozenset({"signingCredential.expired", "claimSignature.outsideValidity"})
UNTRUSTED, TRUSTED = "signingCredential.untrusted", "signingCredential.trusted"

_origin = TypeAdapter(Origin)


class PictureVerifier:
    """Verifies pictures against a key and further trusted authorities; threads may share it."""

    def __init__(self, key: SigningKey, trusted: tuple[x509.Certificate, ...] = ()) -> None:
        self._key, self._own = key, _create_context(key.authorities)
        self._trusted = _create_context(trusted) if trusted else None

    def verify(self, picture: bytes) -> Verification:
        """Verify a PNG, JPEG or WebP. Raises PictureError for another format."""
        find_media_type(picture)
        try:
            manifest = _Manifest(picture, self._own)
            trusted = _Manifest(picture, self._trusted) if self._trusted else None
        except c2pa.C2paError.ManifestNotFound:
            return Verification("stripped")
        except (c2pa.C2paError, KeyError, TypeError, ValueError):  # of damaged manifests
            return Verification("changed", ("manifest",))
        changed = tuple(manifest.find_changes(picture))
        if "manifest" in changed:
            return Verification("changed", changed)
        return Verification(
            "changed" if changed else "expired" if manifest.failures & EXPIRED else "whole",
            changed,
            manifest.is_trusted and self._key.owns(manifest.serial),
            manifest.name("subject"),
            manifest.name("issuer") if trusted and trusted.is_trusted else None,
            manifest.made_at,
            manifest.origin,
            manifest.ingredients,
        )


def find_key_fault(key: SigningKey) -> str | None:
    """Return why C2PA accepts no signature of a key, or None."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    try:
        signed = PictureSigner(key).sign_picture(stream.getvalue(), Origin("none"))
        manifest = _Manifest(signed, _create_context(key.authorities))
    except (UnavailableError, c2pa.C2paError) as error:
        return str(error)
    return None if manifest.is_trusted and not manifest.failures else ", ".join(sorted(manifest.failures))


class _Manifest:
    """The active manifest of a picture, and its validation."""

    def __init__(self, picture: bytes, context: c2pa.Context) -> None:
        """Read it. Raises C2paError."""
        with c2pa.Reader(find_media_type(picture), io.BytesIO(picture), context=context) as reader:
            store, certificates = json.loads(reader.json()), json.loads(reader.crjson())
        self._fields = store["manifests"][store["active_manifest"]]
        results = store["validation_results"]["activeManifest"]
        self.failures = {failure["code"] for failure in results["failure"]}
        self.is_trusted = TRUSTED in {success["code"] for success in results["success"]}
        (active,) = (one for one in certificates["manifests"] if one["label"] == store["active_manifest"])
        self._certificate = active.get("signature", {}).get("certificateInfo", {})

    def find_changes(self, picture: bytes) -> list[Part]:
        """Return the changed parts."""
        if self.failures - EXPIRED - {MISMATCH, UNTRUSTED}:
            return ["manifest"]
        if MISMATCH not in self.failures:
            return []
        try:
            pixels = digest_pixels(picture)
        except PictureError:
            return ["pixels"]
        return ["metadata" if self._generation.get("pixels") == pixels else "pixels"]

    def name(self, role: Literal["subject", "issuer"]) -> str | None:
        """Return the name of the certificate's subject or issuer."""
        names: Mapping[str, str] = self._certificate.get(role, {})
        return names.get("CN") or names.get("O")

    @property
    def serial(self) -> int:
        return int(self._certificate.get("serialNumber", "0"), 16)

    @property
    def made_at(self) -> str | None:
        """The time of the first action."""
        actions = self._find_assertion("c2pa.actions.v2").get("actions", [{}])
        when: str | None = actions[0].get("when")
        return when

    @property
    def origin(self) -> Origin | None:
        """The origin, if adloom wrote the manifest."""
        fields = {name: value for name, value in self._generation.items() if name != "pixels"}
        try:
            return _origin.validate_python(fields)
        except ValidationError:
            return None

    @property
    def ingredients(self) -> tuple[UsedIngredient, ...]:
        return tuple(
            UsedIngredient(
                used.get("title", ""), used.get("instance_id"), used["relationship"], "active_manifest" in used
            )
            for used in self._fields.get("ingredients", [])
        )

    @property
    def _generation(self) -> dict[str, Any]:
        return self._find_assertion(GENERATION)

    def _find_assertion(self, label: str) -> dict[str, Any]:
        data = (one["data"] for one in self._fields.get("assertions", []) if one["label"] == label)
        found: Any = next(data, {})
        return found if isinstance(found, dict) else {}


def _create_context(anchors: tuple[x509.Certificate, ...]) -> c2pa.Context:
    return c2pa.Context.from_dict({**SETTINGS, "trust": {"user_anchors": to_pem(anchors).decode()}})
