"""Variants of an ad from the models: pictures and lines are drawn, ranked and combined."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import numpy as np

from adloom.ads.composition import AdContent, Design
from adloom.ads.headlines import COMPLAINTS, drop_other_products, find_same_category
from adloom.ads.placements import Placement
from adloom.ads.rendering import ImageFormat
from adloom.ads.variants import (
    DESIGNS,
    choose_design,
    choose_varied,
    describe_pixels,
    drop_similar_lines,
    find_distinct,
)
from adloom.arrays import Float64Array, UInt8Array
from adloom.config.brand import BrandKit
from adloom.copywriting.line_constraint import match_words
from adloom.creatives.pictures import encode_pngs, enlarge, to_floats
from adloom.credentials.origin import Origin
from adloom.data.pictures import decode_within, read_header
from adloom.library.records import identify_draw
from adloom.policy.content_model import Contents, join_features
from adloom.policy.scorer import Scorer, ScoringRequest
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import MAX_ITEMS, MAX_PICTURE_PIXELS, CopyRequest, CopyRules, GenerateRequest
from adloom.serving.creatives import generate
from adloom.serving.creatives.generate import NOTHING_REJECTED, CopyJob
from adloom.serving.creatives.issuer import describe_origin
from adloom.serving.models.loader import LoadedModel, Models

SPARE = 2  # pictures and lines drawn for each variant
MAX_EDGE = 1920  # pixels of the longest edge of an advertiser's picture; larger ones are reduced


@dataclass(frozen=True)
class PictureSource:
    """A picture, with its file, and its origin if a model drew it."""

    pixels: UInt8Array  # (height, width, 3)
    file: bytes
    origin: Origin | None = None
    draw: str | None = None  # id of the draw that it belongs to; None: it was not drawn here


@dataclass(frozen=True)
class CreativeBrief:
    """The ads to make."""

    n: int
    placements: Sequence[Placement]
    seed: int
    category: str | None = None
    picture: PictureSource | None = None  # None: drawn by the model
    headline: str | None = None  # None: written by the model
    format: ImageFormat = "png"


@dataclass(frozen=True)
class Variant:
    """The content and design of an ad, before it has a size."""

    content: AdContent
    design: Design
    picture: PictureSource
    line: str | None  # of the model
    reward: float | None
    embedding: Float64Array


@dataclass
class VariantPlan:
    """Variants, the best first, and what their order rests on."""

    variants: list[Variant] = field(default_factory=list)
    models: dict[str, ModelOrigin] = field(default_factory=dict)
    basis: list[str] = field(default_factory=list)

    def note_model(self, model: LoadedModel[Any]) -> None:
        """Note that a model took part."""
        self.models[model.origin.name] = model.origin


def plan_variants(
    brief: CreativeBrief, models: Models, kit: BrandKit, rejected: Mapping[str, Set[int]] = NOTHING_REJECTED
) -> VariantPlan:
    """
    Return up to n variants, without the rejected numbers of a draw.

    Raises Problem when a model is absent or a category unknown.
    """
    plan = VariantPlan()
    pictures = _find_pictures(brief, models, plan, rejected)
    embeddings = _embed(pictures, models, plan)
    kept = find_distinct(embeddings)
    pictures, embeddings = [pictures[i] for i in kept], embeddings[kept]
    lines = _find_lines(brief, models, kit, plan)
    is_given = brief.picture is not None and brief.headline is not None  # then designs alone differ
    count = min(brief.n, DESIGNS) if is_given else max(len(pictures), len(lines))
    picture_of, line_of = np.arange(count) % len(pictures), np.arange(count) % len(lines)
    rows, texts = embeddings[picture_of], [lines[i] for i in line_of]
    rewards = _expect_rewards(brief.category, rows, texts, models, plan)
    rewards += _score_lines(brief, lines, models, plan)[line_of]
    chosen = choose_varied(rewards, (rows @ rows.T + np.equal.outer(line_of, line_of)) / 2, brief.n)
    for number, row in enumerate(chosen):
        picture, line = pictures[picture_of[row]], lines[line_of[row]]
        content = AdContent(
            picture.pixels,
            line[:1].upper() + line[1:],
            kit.calls_to_action[number % len(kit.calls_to_action)],
            brief.category,
        )
        reward = float(rewards[row]) if "policy" in plan.models else None
        written = None if brief.headline else line
        design = choose_design(number, picture.pixels)
        plan.variants.append(Variant(content, design, picture, written, reward, rows[row]))
    return plan


def read_picture(file: bytes, origin: Origin | None = None) -> PictureSource:
    """Return a picture that was not drawn here. Raises PictureError."""
    header = read_header(file, MAX_PICTURE_PIXELS)
    edge = min(max(header.width, header.height), MAX_EDGE)
    return PictureSource(decode_within(file, edge, MAX_PICTURE_PIXELS), file, origin)


def _find_pictures(
    brief: CreativeBrief, models: Models, plan: VariantPlan, rejected: Mapping[str, Set[int]]
) -> list[PictureSource]:
    """Return the given picture, or twice as many as variants, drawn by the model."""
    if brief.picture is not None:
        return [brief.picture]
    plan.note_model(models.gan)
    found: list[PictureSource] = []
    for seed, count in _split(brief.n * SPARE, brief.seed):
        request = GenerateRequest(category=brief.category, n=count, seed=seed)
        job = generate.prepare_pictures(request, models, rejected)
        (drawn,) = generate.draw_pictures([job])
        if isinstance(drawn, Exception):
            raise drawn
        origin = describe_origin(job.gan, seed, {"category": brief.category or ""})
        draw = identify_draw(job.gan.origin.digest, seed, {"mix": job.weights, "attributes": {}})
        for number, picture, file in zip(drawn.numbers, drawn.pixels, encode_pngs(drawn.pixels), strict=True):
            colours = picture if len(picture) == 3 else picture[:1].repeat(3, 0)
            source = PictureSource(colours.transpose(1, 2, 0), file, replace(origin, number=number), draw)
            found.append(source)
    return found


def _find_lines(brief: CreativeBrief, models: Models, kit: BrandKit, plan: VariantPlan) -> list[str]:
    """
    Return the given headline, or distinct lines of the model, without complaints and names of other products.

    Those with a word of the brand's tone come first.
    """
    if brief.headline is not None:
        return [" ".join(brief.headline.split())]
    lstm = models.lstm
    plan.note_model(lstm)
    category = find_same_category(brief.category, lstm.card.categories)
    if category is None and brief.category is not None:
        plan.basis.append(f"lines are of no category, because lstm does not know {brief.category!r}")
    rules = CopyRules(
        max_characters=min(placement.max_characters for placement in brief.placements),
        no_claims=True,
    )
    lines: list[str] = []
    for seed, count in _split(brief.n * SPARE, brief.seed):
        request = CopyRequest(category=category, n=count, seed=seed, rules=rules)
        lines += _write_lines(generate.prepare_copy(request, models), (*kit.banned_words, *COMPLAINTS))
    products = [*lstm.card.categories, *(models.gan.card.categories if "gan" in models.loaded else ())]
    suitable = drop_other_products([" ".join(line.split()) for line in lines], brief.category, products)
    distinct = drop_similar_lines(suitable)
    if not distinct:
        detail = "headline: the copywriter wrote no line that keeps the rules; give a headline"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "headline")
    if kit.tone:
        tone = match_words(kit.tone)
        distinct.sort(key=lambda line: not tone.search(line))
    return distinct


def _write_lines(job: CopyJob, banned: tuple[str, ...]) -> list[str]:
    """Return lines without these words, of which a request over HTTP may have fewer."""
    request = replace(job.line_request, rules=replace(job.line_request.rules, banned=banned))
    (written,) = generate.write_lines([replace(job, line_request=request)])
    return written


def _score_lines(brief: CreativeBrief, lines: Sequence[str], models: Models, plan: VariantPlan) -> Float64Array:
    """Return the click model's scores of lines (lines,), 0 on average; zeros without such a model."""
    model = models.lstm.model.clicks if brief.headline is None else None
    if model is None:
        return np.zeros(len(lines))
    plan.basis.append("lines by the click model of copy")
    scores = model.score(lines)
    centred: Float64Array = scores - scores.mean()
    return centred


def _embed(pictures: Sequence[PictureSource], models: Models, plan: VariantPlan) -> Float64Array:
    """Return unit vectors of pictures: the reader's embeddings, or small copies without a reader."""
    if "cnn" not in models.loaded:
        return describe_pixels([picture.pixels for picture in pictures])
    cnn = models.cnn
    plan.note_model(cnn)
    channels, height, _ = cnn.card.shape
    squares = np.concatenate([enlarge(picture.pixels.transpose(2, 0, 1)[None], height) for picture in pictures])
    return cnn.model.read(to_floats(squares[:, :channels])).embedding.astype(np.float64)


def _expect_rewards(
    category: str | None, embeddings: Float64Array, lines: Sequence[str], models: Models, plan: VariantPlan
) -> Float64Array:
    """Return the policy's scores of new creatives with these pictures and lines (creatives,), or zeros."""
    if "policy" not in models.loaded:
        plan.basis.append("no expected reward, because no policy is served: variety alone")
        return np.zeros(len(lines))
    policy: LoadedModel[Scorer] = models.loaded["policy"]
    plan.note_model(policy)
    names = [f"new {number}" for number in range(len(lines))]
    request = ScoringRequest({}, names, dict.fromkeys(names, category) if category else {})
    reader = policy.card.reader
    contents = None
    if reader is None or ("cnn" in models.loaded and reader == models.cnn.origin.digest):
        features = join_features(embeddings if reader else np.zeros((len(lines), 0)), lines)
        contents = Contents(np.array(names), np.full(len(names), category or ""), features)
    scorer = policy.model.extend(contents)
    plan.basis.append(
        "expected reward: the average of the category; the policy was not trained with this reader"
        if scorer is policy.model
        else "expected reward: the policy's score of a creative without history, which is the average of its category "
        f"and what its {'picture and text add' if reader else 'text adds'}"
    )
    return scorer.scores([request])


def _split(count: int, seed: int) -> Iterable[tuple[int, int]]:
    """Yield seed and number of each request to a model."""
    return (
        ((seed + part) % 2**32, min(MAX_ITEMS, count - start)) for part, start in enumerate(range(0, count, MAX_ITEMS))
    )
