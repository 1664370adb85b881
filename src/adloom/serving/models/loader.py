"""
Bundles: models that were verified by sha256, opened, tested with one inference, and are then served.

All that serve are published together as one immutable `Models`; a bad one is refused by name while the others serve.
Policy and audience are a pair: a policy serves beside the audience it was trained with, or not at all. Nothing here
unpickles.
"""

import logging
import random
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel

from adloom.arrays import Float32Array, StrArray, UInt64Array
from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.config.models import MODELS
from adloom.copywriting import tokenizer
from adloom.copywriting.tokenizer import Tokenizer
from adloom.errors import AdloomError, ArtifactError
from adloom.onnx_models.runtime import Copywriter, Generator, Reader
from adloom.policy.scorer import Policy, Scorer, draw_slate
from adloom.serving.api.problems import Problem, unavailable
from adloom.serving.api.schemas import Origin, Served
from adloom.serving.models.sources import ModelArtifact, SourceName, Sources, UnavailableModel
from adloom.storage import manifest

ROUNDING = 1e-5  # a float32 tanh may pass 1 by its last bits
INFERENCE = 10.0  # seconds for one inference of a model that serves
CERTAIN = 1e-12  # how far from 1 the sum of a policy's probabilities may be

M = TypeVar("M")

logger = logging.getLogger(__name__)


class ImageSize(BaseModel):
    """What pictures a model draws or reads."""

    height: int
    width: int
    channels: int


class ModelCard(BaseModel):
    """What serving needs of card.json."""

    categories: list[str] = []
    image: ImageSize | None = None
    audience: str | None = None  # digest of the audience that a policy was trained with

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width). Raises ArtifactError when the card names no picture."""
        if self.image is None:
            raise ArtifactError("card.json: no image size; train the model again")
        return self.image.channels, self.image.height, self.image.width


@dataclass(frozen=True)
class ReferenceEmbeddings:
    """The creatives the reader compares with."""

    creative_id: StrArray  # (creatives,)
    category: StrArray  # (creatives,)
    embedding: Float32Array  # (creatives, dimensions), rows of unit length


@dataclass(frozen=True)
class PictureReader:
    """The reader and what it knows."""

    read: Reader
    known: ReferenceEmbeddings


@dataclass(frozen=True)
class Writer:
    """The copywriter, its tokenizer, and the lines it must not repeat."""

    write: Copywriter
    tokenizer: Tokenizer
    known: UInt64Array


@dataclass(frozen=True)
class Audience:
    """Who is in which segment, and which one others belong to."""

    segmenter: Segmenter
    members: SegmentIndex
    key_fingerprint: str  # of the key behind the members' pseudonyms


@dataclass(frozen=True)
class LoadedModel(Generic[M]):
    """One model that serves."""

    origin: Origin
    since: str  # ISO 8601, UTC
    card: ModelCard
    model: M
    source: SourceName = "folder"  # who said last that it is to be served

    @property
    def served(self) -> Served:
        """What the list of models says of it."""
        return Served(model=self.origin, since=self.since, source=self.source, categories=self.card.categories)

    def number(self, category: str) -> int:
        """Return a category's number. Raises Problem naming those it knows."""
        if category not in self.card.categories:
            known = ", ".join(self.card.categories)
            detail = f"category: {category[:40]!r} is not known to {self.origin.name}; known: {known}"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "category")
        return self.card.categories.index(category)


@dataclass(frozen=True)
class Models:
    """All that serve now, and why the others do not; replaced as a whole."""

    bundles: Mapping[str, LoadedModel[Any]]
    absent: Mapping[str, str]  # model: reason
    away: Set[str] = frozenset()  # of those: nobody answered whether there is a champion, or its files did not come

    def _get(self, model: str) -> LoadedModel[Any]:
        if model not in self.bundles:
            raise unavailable(model, self.absent.get(model, "not loaded"))
        return self.bundles[model]

    @property
    def gan(self) -> LoadedModel[Generator]:
        """The picture generator. Raises Problem (503) when it is absent; so do the others."""
        return self._get("gan")

    @property
    def cnn(self) -> LoadedModel[PictureReader]:
        """The picture reader."""
        return self._get("cnn")

    @property
    def lstm(self) -> LoadedModel[Writer]:
        """The copywriter."""
        return self._get("lstm")

    @property
    def audience(self) -> LoadedModel[Audience]:
        """The audience segments."""
        return self._get("audience")


Attempt = Callable[[str, Path], None]  # tries a model's artifact where it can do no harm; raises AdloomError
NONE: Mapping[str, LoadedModel[Any]] = {}


def open_untried(model: str, folder: Path) -> None:
    """Let a model be opened without a trial: its first inference is in this process."""


def load(sources: Sources, threads: int) -> Models:
    """Verify, open and test every model there is; each that cannot serve is logged in a line and left out."""
    models = open_models(sources, threads)
    if reason := find_pairing_fault(models.bundles):
        others = {model: bundle for model, bundle in models.bundles.items() if model != "policy"}
        models = Models(others, {**models.absent, "policy": reason}, models.away)
    for model, reason in models.absent.items():
        logger.warning("%s is not served: %s", model, reason)
    return models


def open_models(
    sources: Sources, threads: int, known: Mapping[str, LoadedModel[Any]] = NONE, attempt: Attempt = open_untried
) -> Models:
    """Verify, try and open every model there is; one that is `known` in this version is taken as it is."""
    bundles: dict[str, LoadedModel[Any]] = {}
    absent: dict[str, UnavailableModel] = {}
    for model, source in sources.items():
        same = known.get(model)
        bundle = _taken(same, source) if same and _is(same, source) else _bundle(model, source, threads, attempt)
        if isinstance(bundle, UnavailableModel):
            absent[model] = bundle
        else:
            bundles[model] = bundle
    reasons = {model: found.reason for model, found in absent.items()}
    return Models(bundles, reasons, frozenset(model for model, found in absent.items() if found.away))


def _taken(bundle: LoadedModel[Any], source: ModelArtifact | UnavailableModel) -> LoadedModel[Any]:
    """Return a bundle that is open already, with whoever says now that it is to be served."""
    if isinstance(source, UnavailableModel) or source.source == bundle.source:
        return bundle
    return replace(bundle, source=source.source)


def _is(bundle: LoadedModel[Any], source: ModelArtifact | UnavailableModel) -> bool:
    """Return whether a bundle was made of this source; whether its files are whole was asked then."""
    if isinstance(source, UnavailableModel) or source.version != bundle.origin.version:
        return False
    stamp = source.folder / manifest.MANIFEST
    return stamp.is_file() and manifest.sha256(stamp) == bundle.origin.digest


def find_pairing_fault(bundles: Mapping[str, LoadedModel[Any]]) -> str | None:
    """Return why a policy and an audience are no pair, None when they are, or when there is no policy."""
    policy, audience = bundles.get("policy"), bundles.get("audience")
    wanted = policy.card.audience if policy else None
    found = audience.origin.digest if audience else None
    if wanted in (None, found):
        return None
    served = f"{found[:12]} is served" if found else "none is served"
    return f"it was trained with audience {wanted[:12]}, {served}; promote them as a pair"


def _bundle(
    model: str, source: ModelArtifact | UnavailableModel, threads: int, attempt: Attempt
) -> LoadedModel[Any] | UnavailableModel:
    if isinstance(source, UnavailableModel):
        return source
    try:
        known = manifest.verify(source.folder)
        if known.skipped:
            return UnavailableModel(f"skipped: {known.skipped}")
        card = ModelCard.model_validate_json((source.folder / "card.json").read_bytes())
        origin = Origin(name=model, version=source.version, digest=manifest.digest(source.folder))
        if source.source != "cache":  # whose champions have served before
            attempt(model, source.folder)
        opened = _open(model, source.folder, card, threads)
        return LoadedModel(origin, datetime.now(UTC).isoformat(timespec="seconds"), card, opened, source.source)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime and NumPy raise their own; a bad file must not stop others
        return UnavailableModel(_line(source.folder, error))


def _open(model: str, folder: Path, card: ModelCard, threads: int) -> object:
    opened: object = resolve_name(MODELS[model].opener)(folder, card, threads)
    return opened


def find_fault(model: str, folder: Path, threads: int) -> str:
    """Open a model with one inference, and return why it cannot serve; an empty text when it can."""
    try:
        _open(model, folder, ModelCard.model_validate_json((folder / "card.json").read_bytes()), threads)
    except Exception as error:  # noqa: BLE001 - see `_bundle`
        return _line(folder, error)
    return ""


def _line(folder: Path, error: Exception) -> str:
    if isinstance(error, AdloomError):
        return str(error)
    return f"{folder}: {type(error).__name__}: {' '.join(str(error).split())}"


def open_generator(folder: Path, card: ModelCard, threads: int) -> Generator:
    """Open the picture generator and draw one picture of each category."""
    generator = Generator(folder, threads, INFERENCE)
    categories = np.arange(len(card.categories), dtype=np.int64)
    pictures = generator(np.zeros((len(categories), generator.latent), np.float32), categories)
    _expect(folder, "pictures", pictures, (len(categories), *card.shape))
    if np.abs(pictures).max() > 1 + ROUNDING:
        raise ArtifactError(f"{folder}: it draws pixels outside [-1, 1]; train it again")
    return generator


def open_reader(folder: Path, card: ModelCard, threads: int) -> PictureReader:
    """Open the picture reader and read one picture."""
    reader = Reader(folder, threads, INFERENCE)
    reading = reader(np.zeros((1, *card.shape), np.float32))
    _expect(folder, "probabilities", reading.probabilities, (1, len(card.categories)))
    with np.load(folder / "known.npz", allow_pickle=False) as arrays:
        embedding = arrays["embedding"].astype(np.float32)  # kept in half precision, multiplied in single
        known = ReferenceEmbeddings(arrays["creative_id"], arrays["category"], embedding)
    _expect(folder, "known embeddings", known.embedding, (len(known.creative_id), reading.embedding.shape[1]))
    return PictureReader(reader, known)


def open_copywriter(folder: Path, card: ModelCard, threads: int) -> Writer:
    """Open the copywriter and predict one token."""
    tokens = tokenizer.from_json((folder / "tokenizer.json").read_text(encoding="utf-8"))
    writer = Copywriter(folder, threads, INFERENCE)
    logits, _ = writer(np.array([[tokens.begin]], np.int64), writer.start(1))
    _expect(folder, "logits", logits, (1, 1, tokens.size))
    with np.load(folder / "known.npz", allow_pickle=False) as arrays:
        return Writer(writer, tokens, arrays["fingerprints"])


def open_audience(folder: Path, card: ModelCard, threads: int) -> Audience:
    """Open the audience segments and search them once."""
    segmenter, members = Segmenter.load(folder / "segmenter.npz"), SegmentIndex.load(folder / "members.npz")
    names = set(segmenter.names)
    if (
        not len(members)
        or set(members.names) != names
        or segmenter.assign(np.zeros((1, len(FEATURES))))[0] not in names
    ):
        raise ArtifactError(f"{folder}: members and segmenter name other segments; run `adloom segment` again")
    if (key := manifest.read(folder).facts.get("key")) is None:
        raise ArtifactError(f"{folder}: its manifest names no pseudonym key; run `adloom segment` again")
    members.find_one("0" * 32)  # the first search makes an index
    return Audience(segmenter, members, key)


def open_policy(folder: Path, card: ModelCard, threads: int) -> Scorer:
    """Open the policy and draw one creative, then several."""
    policy = Policy.load(folder / "policy.npz")
    some = [*policy.creatives[:50], "a creative without history"]
    for count in (1, len(some)):  # the first use of anything is slow
        probabilities = policy.probabilities({}, some[-count:])
        slate = draw_slate(probabilities, count, random.random)
        if abs(sum(probabilities) - 1) > CERTAIN or min(slate.propensities) <= 0:
            raise ArtifactError(f"{folder}: its probabilities are {probabilities}; train it again")
    return policy.scorer


def _expect(folder: Path, what: str, found: Float32Array, shape: tuple[int, ...]) -> None:
    """Raise ArtifactError unless the self-test's result has the shape the card promises and is finite."""
    if found.shape != shape:
        raise ArtifactError(f"{folder}: {what} are {found.shape}, card.json promises {shape}; train it again")
    if not np.isfinite(found).all():
        raise ArtifactError(f"{folder}: {what} are not finite; train it again")
