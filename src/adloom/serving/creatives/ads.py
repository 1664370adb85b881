"""Make ads: the answer of their endpoint, and what it shares with the command line."""

import base64
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from adloom.ads.brand import Brand
from adloom.ads.lint import Finding
from adloom.ads.making import Ad, AdRequest, make_ads
from adloom.ads.placements import KB, PLACEMENTS, Placement
from adloom.credentials.origin import COMPOSITE, WITHOUT_MODEL, Origin
from adloom.data.picture_files import PictureError
from adloom.data.pictures import describe_error
from adloom.library.features import describe_line, describe_picture, round_embedding
from adloom.library.records import Creative
from adloom.serving.api.ads_schemas import AdFinding, AdsAnswer, AdsRequest, MadeAd
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import MAX_PICTURE_PIXELS
from adloom.serving.app import ServiceDependencies
from adloom.serving.creatives.ad_variants import (
    CreativeBrief,
    PictureSource,
    Variant,
    VariantPlan,
    plan_variants,
    read_picture,
)
from adloom.serving.creatives.classify import decode_base64
from adloom.serving.creatives.issuer import Issuer
from adloom.serving.library.answers import open_shared
from adloom.serving.library.drafts import describe_model
from adloom.serving.library.shared_library import SharedLibrary, find_rejected
from adloom.serving.models.loader import Models

if TYPE_CHECKING:
    from adloom.library.library import Library

NO_BRAND = "no brand kit here; `adloom serve` reads the one of ADLOOM_BRAND"
COMPOSER = "adloom"  # name of the maker of ads with a picture that no model made
MAKERS = ("gan", "lstm")  # models that an ad shows something of
PROCESSES = 1  # of one request


@dataclass(frozen=True)
class FinishedAd:
    """An ad with its credentials, or with findings; and its signed picture."""

    number: int  # of its variant
    variant: Variant
    ad: Ad
    file: bytes
    picture: bytes


def answer(request: AdsRequest, models: Models, dependencies: ServiceDependencies) -> AdsAnswer:
    """Make ads. Raises Problem when a picture, category or model cannot be used."""
    brand = dependencies.brand
    if brand is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, NO_BRAND)
    seed = secrets.randbits(32) if request.seed is None else request.seed
    placements = [PLACEMENTS[name] for name in dict.fromkeys(request.sizes)]
    picture = _find_picture(request, dependencies)
    brief = CreativeBrief(request.n, placements, seed, request.category, picture, request.headline)
    plan = plan_variants(brief, models, brand.kit, find_rejected(dependencies.library))
    finished = list(finish_ads(brief, plan, brand, dependencies.issuer, PROCESSES))
    saved = _save_ads(finished, plan, dependencies.library) if request.save else [None] * len(finished)
    made = list(map(_describe, finished, saved))
    return AdsAnswer(models=list(plan.models.values()), seed=seed, basis="; ".join(plan.basis), ads=made)


def finish_ads(
    brief: CreativeBrief, plan: VariantPlan, brand: Brand, issuer: Issuer, processes: int
) -> Iterator[FinishedAd]:
    """Yield the ads of each variant in each size; those without findings are signed, with their picture as a layer."""
    pairs = [(number, variant, size) for number, variant in enumerate(plan.variants) for size in brief.placements]
    requests = [AdRequest(variant.content, size, variant.design, brief.format) for _, variant, size in pairs]
    pictures = [_sign_picture(variant.picture, issuer) for variant in plan.variants]
    for (number, variant, size), made in zip(pairs, make_ads(requests, brand, processes), strict=True):
        ad, file = made, made.file
        if not ad.findings:
            file = _sign_ad(ad, variant, pictures[number], plan, issuer)
            if len(file) > size.max_bytes:
                ad, file = replace(ad, findings=(_describe_weight(len(file), size),)), ad.file
        yield FinishedAd(number, variant, ad, file, pictures[number])


def _describe_weight(weight: int, placement: Placement) -> Finding:
    reason = (
        f"{weight / KB:.0f} kB with the credentials of its picture, expected at most {placement.max_bytes // KB} kB"
    )
    return Finding("file weight", f"{reason}; remove the picture's metadata")


def _sign_picture(source: PictureSource, issuer: Issuer) -> bytes:
    """Return the file of a picture, signed if it was drawn here."""
    return (
        source.file
        if source.draw is None or source.origin is None
        else issuer.issue_pictures([source.file], [source.origin])[0]
    )


def _sign_ad(ad: Ad, variant: Variant, picture: bytes, plan: VariantPlan, issuer: Issuer) -> bytes:
    from adloom.credentials.signer import Ingredient

    source = variant.picture.origin
    facts = {f"model_{name}": origin.digest for name, origin in plan.models.items() if name in MAKERS}
    facts |= {"headline": ad.request.content.headline, "size": ad.request.placement.name}
    kind = WITHOUT_MODEL if source is None and variant.line is None else COMPOSITE
    origin = replace(source or Origin(COMPOSER), facts=facts, source_type=kind)
    return issuer.issue_pictures([ad.file], [origin], [Ingredient("picture", picture, "componentOf")])[0]


def save_ad(finished: FinishedAd, plan: VariantPlan, library: "Library") -> Creative | None:
    """Put an ad, its picture and its line into the library as drafts; one with findings is not saved."""
    if finished.ad.findings:
        return None
    variant, request, content = finished.variant, finished.ad.request, finished.ad.request.content
    parents = [library.add(_describe_picture(finished, plan), finished.picture).id]
    if variant.line is not None:
        line = describe_line(variant.line, category=content.category, model=describe_model(plan.models["lstm"]))
        parents.append(library.add(line, variant.line.encode()).id)
    ad = describe_picture(
        finished.file,
        "ad",
        category=content.category,
        text=content.headline,
        placement=request.placement.name,
        parents=tuple(parents),
        features={
            **_describe_embedding(variant, plan),
            "characters": len(content.headline),
            "call_to_action": content.action,
            "layout": request.design.template,
            "scheme": request.design.scheme,
            "treatment": request.design.treatment,
        },
    )
    return library.add(ad, finished.file)


def _describe_picture(finished: FinishedAd, plan: VariantPlan) -> Creative:
    source, category = finished.variant.picture, finished.variant.content.category
    features = _describe_embedding(finished.variant, plan)
    if source.draw is None or source.origin is None:
        return describe_picture(finished.picture, category=category, features=features)
    return describe_picture(
        finished.picture,
        category=category,
        model=describe_model(plan.models["gan"]),
        seed=source.origin.seed,
        number=source.origin.number,
        features=features | {"draw": source.draw},
    )


def _describe_embedding(variant: Variant, plan: VariantPlan) -> dict[str, Any]:
    """Return the reader's embedding of an ad's picture, if there is a reader."""
    if "cnn" not in plan.models:
        return {}
    return {"embedding": round_embedding(variant.embedding), "reader": plan.models["cnn"].digest}


def _save_ads(finished: Sequence[FinishedAd], plan: VariantPlan, shared: SharedLibrary | None) -> list[Creative | None]:
    with open_shared(shared) as library:
        return [save_ad(each, plan, library) for each in finished]


def trace_picture(picture: PictureSource, issuer: Issuer) -> PictureSource:
    """Return a picture that was not drawn here, with its origin if a model made it. Raises PictureError."""
    return picture if picture.origin else replace(picture, origin=issuer.find_origin(picture.file))


def _find_picture(request: AdsRequest, dependencies: ServiceDependencies) -> PictureSource | None:
    """Return the requested picture, if one is. Raises Problem."""
    try:
        if request.picture_id is not None:
            picture = _read_from_library(request.picture_id, dependencies.library)
        elif request.picture is not None:
            picture = read_picture(decode_base64(request.picture))
        else:
            return None
        return trace_picture(picture, dependencies.issuer)
    except PictureError as error:
        reason = f"picture: {describe_error(error, MAX_PICTURE_PIXELS)}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, "picture") from None


def _read_from_library(creative_id: str, shared: SharedLibrary | None) -> PictureSource:
    with open_shared(shared, "picture_id") as library:
        creative = library.get(creative_id)
        if creative.state == "rejected":
            detail = "picture_id: was rejected; choose another picture, or approve it with a reason"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "picture_id")
        return read_picture(library.read(creative_id), _to_origin(creative))


def _to_origin(creative: Creative) -> Origin | None:
    """Return the origin of a picture of the library, if a model made it."""
    model = creative.model
    if model is None:
        return None
    return Origin(model.name, model.version, model.digest, seed=creative.seed, number=creative.number)


def _describe(finished: FinishedAd, saved: Creative | None) -> MadeAd:
    ad = finished.ad
    return MadeAd(
        variant=finished.number,
        size=ad.request.placement.name,
        headline=ad.request.content.headline,
        png=base64.b64encode(finished.file).decode(),
        svg=None if ad.findings else ad.svg,
        findings=[AdFinding(rule=finding.rule, message=finding.reason) for finding in ad.findings],
        id=saved.id if saved else None,
        expected_reward=finished.variant.reward,
    )
