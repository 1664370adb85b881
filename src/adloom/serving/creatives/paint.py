"""Stylise pictures and dream into them: the answers of the painting endpoints."""

import base64
import time
from http import HTTPStatus

import numpy as np

from adloom.arrays import Float32Array
from adloom.creatives import dream as dreams
from adloom.creatives.pictures import encode_pngs, to_floats, to_pixels
from adloom.credentials.label import draw_label
from adloom.credentials.origin import COMPOSITE, Origin
from adloom.credentials.signer import Ingredient
from adloom.data.picture_files import PictureError
from adloom.data.pictures import decode_within, describe_error
from adloom.errors import UnavailableError
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import MAX_PICTURE_PIXELS, DreamRequest, PaintedPicture, StylizeRequest
from adloom.serving.creatives.classify import decode_base64
from adloom.serving.creatives.issuer import Issuer, describe_origin
from adloom.serving.models.loader import LoadedModel, Models
from adloom.serving.models.stylizer import StyleModel

MULTIPLE, NARROWEST = 8, 16  # pixels: edges that the stylizer takes
MAX_WORK = 8_000_000  # pixels times steps of one dream: about 10 s on one slow core
INPUTS = ("content", "style", "picture")  # fields with pictures
MAX_SECONDS = 20.0  # of one dream


def stylize(request: StylizeRequest, models: Models, issuer: Issuer) -> PaintedPicture:
    """Paint the content in the style. Raises Problem when a picture cannot be used."""
    model = models.style
    content = _read(request.content, "content", request.size)
    style = _read(request.style, "style", request.size)
    strength = np.array([request.strength], np.float32)
    painted = model.model.stylize(_pad(content)[None], _pad(style)[None], strength)[0]
    height, width = content.shape[1:]
    origin = describe_origin(model, None, {"strength": str(request.strength)}, source_type=COMPOSITE)
    return _answer(model, painted[:, :height, :width], origin, request, issuer)


def dream(request: DreamRequest, models: Models, issuer: Issuer) -> PaintedPicture:
    """Paint into a picture what a layer sees in it. Raises Problem when the picture cannot be used."""
    model = models.style
    picture = _read(request.picture, "picture", request.size)
    _require_work(request, picture.shape[1:])
    end = time.monotonic() + MAX_SECONDS

    def gradient(moved: Float32Array) -> Float32Array:
        if time.monotonic() > end:
            raise UnavailableError(
                f"the dream was stopped after {MAX_SECONDS:g} s; ask for fewer steps or a smaller size"
            )
        return model.model.dream(moved, request.layer)

    dreamt = dreams.dream(picture, gradient, octaves=request.octaves, steps=request.steps, seed=request.seed)
    facts = {name: str(getattr(request, name)) for name in ("layer", "octaves", "steps")}
    origin = describe_origin(model, request.seed, facts, source_type=COMPOSITE)
    return _answer(model, dreamt, origin, request, issuer)


def _read(text: str, field: str, size: int) -> Float32Array:
    """Return a picture (3, height, width) in [-1, 1]. Raises Problem (422)."""
    try:
        pixels = decode_within(decode_base64(text), size, MAX_PICTURE_PIXELS)
    except PictureError as error:
        reason = f"{field}: {describe_error(error, MAX_PICTURE_PIXELS)}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, field) from None
    return to_floats(pixels.transpose(2, 0, 1))


def _pad(picture: Float32Array) -> Float32Array:
    """Return the picture with repeated edges, as large as the stylizer needs."""
    height, width = (max(-(-edge // MULTIPLE) * MULTIPLE, NARROWEST) for edge in picture.shape[1:])
    return np.pad(picture, ((0, 0), (0, height - picture.shape[1]), (0, width - picture.shape[2])), mode="edge")


def _require_work(request: DreamRequest, size: tuple[int, ...]) -> None:
    """Raise Problem if a dream takes more pixels times steps than one request may."""
    pixels = sum(height * width for height, width in dreams.list_octaves(size, request.octaves))
    if (work := pixels * request.steps) > MAX_WORK:
        detail = (
            f"steps: {request.steps} steps of {pixels} pixels in all octaves are {work}, expected at most {MAX_WORK}"
        )
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{detail}; ask for fewer steps or a smaller size", "steps")


def _answer(
    model: LoadedModel[StyleModel],
    picture: Float32Array,
    origin: Origin,
    request: StylizeRequest | DreamRequest,
    issuer: Issuer,
) -> PaintedPicture:
    """Return the answer with a signed picture that names those of the request."""
    files = {name: getattr(request, name) for name in INPUTS if name in type(request).model_fields}
    ingredients = [Ingredient(name, decode_base64(text)) for name, text in files.items()]
    pixels = to_pixels(picture)[None]
    drawn = draw_label(pixels) if request.label else pixels
    (issued,) = issuer.issue_pictures(encode_pngs(drawn), [origin], ingredients)
    return PaintedPicture(model=model.origin, source_type=origin.source_type, picture=base64.b64encode(issued).decode())
