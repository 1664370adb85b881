"""Generate pictures and lines of copy: the answers of the generating endpoints."""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import count, islice
from typing import NamedTuple

import numpy as np

from adloom.arrays import BoolArray, Float32Array, UInt8Array
from adloom.copywriting.click_model import ClickModel, rank_lines
from adloom.copywriting.lines import LineRequest, LineRules, write_together
from adloom.creatives import pictures
from adloom.creatives.copy_check import CopyCheck
from adloom.credentials.label import draw_label
from adloom.credentials.origin import SOURCE_TYPE
from adloom.errors import ArtifactError
from adloom.library.records import identify_draw
from adloom.onnx_models.runtime import Generator
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import CopyAnswer, CopyRequest, GenerateAnswer, GenerateRequest
from adloom.serving.creatives.issuer import Issuer, describe_origin
from adloom.serving.metrics import COPIES
from adloom.serving.models.loader import LoadedModel, Models, Writer

NOTHING_REJECTED: Mapping[str, Set[int]] = {}
MAX_PIXELS = 64 * 64 * 64  # per request: 64 pictures of 64x64, 16 of 128x128
MAX_REDRAWS = 8  # attempts to replace copies of training pictures
MIX_TOLERANCE = 1e-3  # of the sum of the weights of a mix
MAX_TOKENS = 64  # of a prompt, and of what is written after it
RANKED = 4  # lines written for each that is returned by rank
MAX_DRAWN = 16_384  # tokens per request, including those of refused lines


@dataclass(frozen=True)
class PictureJob:
    """A validated request for pictures, with the inputs of the generator."""

    request: GenerateRequest
    gan: LoadedModel[Generator]
    weights: Mapping[str, float]  # by category
    seed: int
    categories: list[int]  # the numbers of the weights' categories
    numbers: list[int]  # (n,), which of the seed's pictures
    z: Float32Array  # (n, latent)
    condition: Float32Array  # (n, columns)
    rejected: Set[int]  # numbers that are never drawn
    copy_check: CopyCheck | None  # None: the reader that is served has none for such pictures


class DrawnPictures(NamedTuple):
    """The pixels of a job, with the number of each picture."""

    numbers: list[int]
    pixels: UInt8Array  # (n, channels, height, width)


def prepare_pictures(
    request: GenerateRequest, models: Models, rejected: Mapping[str, Set[int]] = NOTHING_REJECTED
) -> PictureJob:
    """
    Draw the inputs of the generator, without the numbers of a draw that were rejected.

    Raises Problem if a category, an attribute or the model is unknown.
    """
    gan, weights = models.gan, _choose_weights(request)
    field = "mix" if request.mix else "category"
    categories = sorted(gan.category_index(category, field) for category in weights)
    gan.require_attributes(request.attributes)
    _require_limit(request.n, gan.card.shape)
    seed = _draw_seed(request.seed)
    draw_id = identify_draw(gan.origin.digest, seed, {"mix": weights, "attributes": request.attributes})
    no = rejected.get(draw_id, frozenset())
    numbers = _choose_numbers(0, request.n, no)
    z = _draw_noise(seed, categories, gan.model.latent, numbers)
    condition = gan.card.conditions.mix(weights, request.attributes)[None].repeat(request.n, 0)
    return PictureJob(request, gan, weights, seed, categories, numbers, z, condition, no, _find_copy_check(models))


def draw_pictures(jobs: Sequence[PictureJob]) -> list[DrawnPictures | Exception]:
    """
    Draw the pixels of all jobs together; the pixels of a job do not depend on the others.

    Later numbers replace copies of training pictures.
    """
    pixels = _draw(
        jobs[0].gan, np.concatenate([job.z for job in jobs]), np.concatenate([job.condition for job in jobs])
    )
    drawn = np.split(pixels, np.cumsum([job.request.n for job in jobs])[:-1])
    if (check := jobs[0].copy_check) is None:
        return [DrawnPictures(job.numbers, part) for job, part in zip(jobs, drawn, strict=True)]
    copies = np.split(check.find_copies(pixels), np.cumsum([job.request.n for job in jobs])[:-1])
    return [_replace_copies(job, check, part, found) for job, part, found in zip(jobs, drawn, copies, strict=True)]


def _replace_copies(
    job: PictureJob, check: CopyCheck, pixels: UInt8Array, is_copy: BoolArray
) -> DrawnPictures | Problem:
    """Return the pictures that are no copies, and as many of later numbers as there were copies."""
    numbers, kept, kept_numbers = job.numbers, pixels[:0], list[int]()
    for _ in range(1 + MAX_REDRAWS):
        COPIES.refused += int(is_copy.sum())
        kept = np.concatenate([kept, pixels[~is_copy]])
        kept_numbers += [number for number, copy in zip(numbers, is_copy, strict=True) if not copy]
        if not (missing := job.request.n - len(kept)):
            return DrawnPictures(kept_numbers, kept)
        numbers = _choose_numbers(numbers[-1] + 1, missing, job.rejected)
        z = _draw_noise(job.seed, job.categories, job.gan.model.latent, numbers)
        pixels = _draw(job.gan, z, job.condition[:missing])
        is_copy = check.find_copies(pixels)
    detail = f"model gan draws copies of training pictures: {numbers[0] - len(kept)} of {numbers[0]}"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{detail}, which are not shown; train it again")


def _draw(gan: LoadedModel[Generator], z: Float32Array, condition: Float32Array) -> UInt8Array:
    _, height, width = gan.card.shape
    drawn = [gan.model(z[rows], condition[rows]) for rows in pictures.split_batches(len(z), height, width)]
    if not all(np.isfinite(part).all() for part in drawn):
        raise ArtifactError("the picture generator's output is not finite; train it again")
    return np.concatenate([pictures.to_pixels(part) for part in drawn])


def _choose_numbers(first: int, n: int, rejected: Set[int]) -> list[int]:
    return list(islice((number for number in count(first) if number not in rejected), n))


def _draw_noise(seed: int, categories: Sequence[int], latent: int, numbers: Sequence[int]) -> Float32Array:
    """Return the generator's noise for some numbers of a seed."""
    noise = np.random.default_rng([seed, *categories])
    drawn: Float32Array = noise.standard_normal((max(numbers) + 1, latent), np.float32)[numbers]
    return drawn


def _find_copy_check(models: Models) -> CopyCheck | None:
    """Return the copy check of the served reader, if it has one for pictures like the generator's."""
    cnn = models.loaded.get("cnn")
    return cnn.model.copy_check if cnn and cnn.card.shape[0] == models.gan.card.shape[0] else None


def answer_pictures(job: PictureJob, drawn: DrawnPictures, issuer: Issuer) -> GenerateAnswer:
    """Return the answer with the pixels of a job as signed pictures."""
    request = job.request
    category = request.category or max(sorted(job.weights), key=job.weights.__getitem__)
    origin = describe_origin(job.gan, job.seed, {"category": category, **_describe_condition(request)})
    origins = [replace(origin, number=number) for number in drawn.numbers]
    pixels = draw_label(drawn.pixels) if request.label else drawn.pixels
    issued = issuer.issue_pictures(pictures.encode_pngs(pixels), origins)
    return GenerateAnswer(
        model=job.gan.origin,
        category=category,
        mix=dict(job.weights),
        attributes=request.attributes,
        seed=job.seed,
        numbers=drawn.numbers,
        source_type=SOURCE_TYPE,
        pictures=[base64.b64encode(png).decode() for png in issued],
    )


@dataclass(frozen=True)
class CopyJob:
    """A validated request for lines, with the request to the copywriter."""

    request: CopyRequest
    lstm: LoadedModel[Writer]
    line_request: LineRequest
    ranker: ClickModel | None


def prepare_copy(request: CopyRequest, models: Models) -> CopyJob:
    """Return the job of a request. Raises Problem if the category or the model is unknown."""
    lstm = models.lstm
    if request.category is not None:
        lstm.category_index(request.category)
    ranker = _find_ranker(lstm.model) if request.rank_by_clicks else None
    line_request = LineRequest(
        n=request.n * (RANKED if ranker else 1),
        seed=_draw_seed(request.seed),
        category=request.category,
        prompt=request.prompt,
        temperature=request.rules.temperature,
        top_p=request.rules.top_p,
        guidance=request.rules.guidance,
        max_tokens=MAX_TOKENS + 2 * _count_tokens(request.prompt, lstm.model),  # a prompt may be spelled in more tokens
        max_drawn=MAX_DRAWN,
        rules=LineRules(
            banned=tuple(request.rules.banned_words),
            required=tuple(request.rules.required_words),
            no_claims=request.rules.no_claims,
            max_characters=request.rules.max_characters,
            known=lstm.model.known,
        ),
    )
    return CopyJob(request, lstm, line_request, ranker)


def write_lines(jobs: Sequence[CopyJob]) -> list[list[str]]:
    """Write the lines of all jobs together; the lines of a job do not depend on the others."""
    writer = jobs[0].lstm.model
    return write_together(writer.write, writer.tokenizer, [job.line_request for job in jobs])


def answer_copy(job: CopyJob, lines: Sequence[str], issuer: Issuer) -> CopyAnswer:
    """Return the answer with the lines of a job and their signed sidecars."""
    ranked = (rank_lines(job.ranker, lines) if job.ranker else list(lines))[: job.request.n]
    category = {} if job.request.category is None else {"category": job.request.category}
    return CopyAnswer(
        model=job.lstm.origin,
        category=job.request.category,
        seed=job.line_request.seed,
        source_type=SOURCE_TYPE,
        lines=ranked,
        sidecars=issuer.issue_lines(ranked, describe_origin(job.lstm, job.line_request.seed, category)),
    )


def _choose_weights(request: GenerateRequest) -> dict[str, float]:
    """Return the weights of the requested categories. Raises Problem unless category and mix agree."""
    if request.mix is None:
        if request.category is None:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "category: required without mix", "category")
        return {request.category: 1.0}
    if request.category is not None and request.category not in request.mix:
        detail = f"category: {request.category[:40]!r} is not one of mix; leave it out"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "category")
    if abs((total := sum(request.mix.values())) - 1) > MIX_TOLERANCE:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"mix: the weights sum to {total:g}, expected 1", "mix")
    return request.mix


def _describe_condition(request: GenerateRequest) -> dict[str, str]:
    """Return the metadata of a picture's mix and attributes, if it has any."""
    conditions = {"mix": request.mix, "attributes": request.attributes}
    return {name: json.dumps(values, sort_keys=True) for name, values in conditions.items() if values}


def _find_ranker(model: Writer) -> ClickModel:
    """Return the click model. Raises Problem if there is none."""
    if model.clicks is None:
        detail = (
            "rank_by_clicks: lstm was trained on lines without clicks; train it with columns impressions and clicks"
        )
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "rank_by_clicks")
    return model.clicks


def _require_limit(n: int, shape: tuple[int, int, int]) -> None:
    """Raise Problem if n pictures of (channels, height, width) exceed the limit of a request."""
    _, height, width = shape
    most = MAX_PIXELS // (height * width)
    if n > most:
        detail = f"n: {n} pictures of {width}x{height}, at most {most} are drawn by one request; ask again for the rest"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "n")


def _count_tokens(prompt: str, model: Writer) -> int:
    """Return the number of tokens of a prompt. Raises Problem if it exceeds the limit."""
    tokens = len(model.tokenizer.encode(prompt))
    if tokens > MAX_TOKENS:
        detail = f"prompt: {tokens} tokens, expected at most {MAX_TOKENS}; make it shorter"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "prompt")
    return tokens


def _draw_seed(seed: int | None) -> int:
    return secrets.randbits(32) if seed is None else seed
