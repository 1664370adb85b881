"""Verify a picture, a line or a melody: the answer of the endpoint and of `adloom verify`."""

from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING

from adloom.credentials.perceptual_index import MAX_PIXELS
from adloom.credentials.records import Verification
from adloom.data.picture_files import PictureError
from adloom.data.pictures import describe_error
from adloom.serving.api.credentials_schemas import VerifyAnswer, VerifyRequest
from adloom.serving.api.problems import Problem
from adloom.serving.creatives.classify import decode_file
from adloom.serving.creatives.issuer import Issuer

if TYPE_CHECKING:
    from adloom.serving.creatives.issued_pictures import IssuedMatch


def answer(request: VerifyRequest, issuer: Issuer) -> VerifyAnswer:
    """Verify a picture, a line or a melody. Raises Problem when it cannot be used."""
    if request.line is not None:
        return describe(issuer.verify_content(request.line.encode(), request.sidecar), None)
    try:
        if request.midi is not None:
            return describe(issuer.verify_content(decode_file(request.midi), request.sidecar), None)
        return describe(*issuer.verify_picture(decode_file(request.picture or "")))
    except PictureError as error:
        reason = f"picture: {describe_error(error, MAX_PIXELS)}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, "picture") from None


def describe(verification: Verification, match: "IssuedMatch | None") -> VerifyAnswer:
    """Return the answer of a verification."""
    found = {**match._asdict(), "origin": asdict(match.origin)} if match else None
    fields = asdict(verification)
    fields |= {"changed": list(verification.changed), "ingredients": list(fields["ingredients"])}
    return VerifyAnswer.model_validate({**fields, "match": found})
