"""Load models: verify artifacts by sha256, open them and test each with one inference. Nothing unpickles."""

import logging
import random
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

import numpy as np

from adloom.arrays import Float32Array, StrArray, UInt64Array
from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.config.models import MODELS
from adloom.copywriting import tokenizer
from adloom.copywriting.click_model import ClickModel, load_click_model
from adloom.copywriting.tokenizer import Tokenizer
from adloom.creatives.copy_check import CopyCheck, load_copy_check
from adloom.creatives.whitening import Whitening, read_whitening
from adloom.errors import AdloomError, ArtifactError
from adloom.experiments.definition import Experiment
from adloom.onnx_models.runtime import Copywriter, Generator, Reader
from adloom.policy.scorer import Policy, Scorer, draw_slate
from adloom.sequences.decoding import SequenceModel
from adloom.sequences.mixture import load_mixture
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.api.problems import Problem, unavailable
from adloom.serving.api.schemas import ServedModel
from adloom.serving.models.card import INFERENCE_TIMEOUT, ModelCard, check_output
from adloom.serving.models.composer import MelodyWriter
from adloom.serving.models.recommender import ItemRecommender
from adloom.serving.models.sources import ModelArtifact, SourceName, Sources, UnavailableModel
from adloom.serving.models.stylizer import StyleModel
from adloom.storage import manifest

PIXEL_TOLERANCE = 1e-5  # a float32 tanh may exceed 1 in its last bits
SUM_TOLERANCE = 1e-12  # of the sum of a policy's probabilities

M = TypeVar("M")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReferenceEmbeddings:
    """The known creatives of the picture reader."""

    creative_id: StrArray  # (creatives,)
    category: StrArray  # (creatives,)
    embedding: Float32Array  # (creatives, dimensions), whitened, rows of unit length


@dataclass(frozen=True)
class PictureReader:
    """The reader and its reference embeddings."""

    read: Reader
    known: ReferenceEmbeddings
    whiten: Whitening
    copy_check: CopyCheck | None = None  # older models have none


@dataclass(frozen=True)
class Writer:
    """The copywriter, its tokenizer and the fingerprints of training lines."""

    write: SequenceModel[Any]
    tokenizer: Tokenizer
    known: UInt64Array  # (fingerprints,)
    clicks: ClickModel | None = None  # of a model trained with clicks


@dataclass(frozen=True)
class Audience:
    """The segments of users, by id and features."""

    segmenter: Segmenter
    members: SegmentIndex
    key_fingerprint: str  # of the key of the members' pseudonyms


@dataclass(frozen=True)
class LoadedModel(Generic[M]):
    """A model that serves."""

    origin: ModelOrigin
    since: str  # ISO 8601, UTC
    card: ModelCard
    model: M
    source: SourceName = "folder"
    dataset: str | None = None  # digest of the table that it learned from

    @property
    def served(self) -> ServedModel:
        """Its item in the list of models."""
        return ServedModel(
            model=self.origin,
            since=self.since,
            source=self.source,
            categories=self.card.categories,
            attributes=self.card.attributes,
        )

    def category_index(self, category: str, field: str = "category") -> int:
        """Return a category's index. Raises Problem (422) of a field of the request."""
        return self._find(category, self.card.categories, field)

    def require_attributes(self, attributes: Mapping[str, str]) -> None:
        """Raise Problem (422) for an unknown attribute or value."""
        for name, value in attributes.items():
            self._find(name, list(self.card.attributes), "attributes")
            self._find(value, self.card.attributes[name], f"attributes.{name}")

    def _find(self, name: str, known: list[str], field: str) -> int:
        if name not in known:
            detail = f"{field}: {name[:40]!r} is not known to {self.origin.name}; known: {', '.join(known) or 'none'}"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field)
        return known.index(name)


@dataclass(frozen=True)
class LoadedExperiment:
    """A running experiment and the policies of its arms."""

    experiment: Experiment
    policies: Mapping[int, LoadedModel[Scorer]]  # by version


@dataclass(frozen=True)
class Models:
    """The models that serve, and why others are absent."""

    loaded: Mapping[str, LoadedModel[Any]]
    absent: Mapping[str, str]  # model: reason
    unknown: Set[str] = frozenset()  # absent, and the registry did not say whether there is a champion
    experiment: LoadedExperiment | None = None
    challengers: Mapping[str, LoadedModel[Any]] = field(default_factory=dict)

    def _get(self, model: str) -> LoadedModel[Any]:
        if model not in self.loaded:
            raise unavailable(model, self.absent.get(model, "not loaded"))
        return self.loaded[model]

    @property
    def gan(self) -> LoadedModel[Generator]:
        """The picture generator. Raises Problem (503) when absent; so do those below."""
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
    def style(self) -> LoadedModel[StyleModel]:
        """The stylizer."""
        return self._get("style")

    @property
    def music(self) -> LoadedModel[MelodyWriter]:
        """The composer."""
        return self._get("music")

    @property
    def audience(self) -> LoadedModel[Audience]:
        """The audience segments."""
        return self._get("audience")

    @property
    def recommender(self) -> LoadedModel[ItemRecommender]:
        """The recommender."""
        return self._get("recommender")


Trial = Callable[[str, Path], None]  # tries a model's artifact in isolation; raises AdloomError
NOT_LOADED: Mapping[str, LoadedModel[Any]] = {}


def skip_trial(model: str, folder: Path) -> None:
    """Accept a model without a trial."""


def load(sources: Sources, threads: int) -> Models:
    """Open every available model; log and omit those that cannot serve."""
    models = open_models(sources, threads)
    if reason := find_pairing_fault(models.loaded):
        others = {model: loaded for model, loaded in models.loaded.items() if model != "policy"}
        models = Models(others, {**models.absent, "policy": reason}, models.unknown)
    for model, reason in models.absent.items():
        logger.warning("%s is not served: %s", model, reason)
    return models


def open_models(
    sources: Sources, threads: int, before: Mapping[str, LoadedModel[Any]] = NOT_LOADED, trial: Trial = skip_trial
) -> Models:
    """Verify, try and open models; reuse those open in the same version."""
    loaded: dict[str, LoadedModel[Any]] = {}
    absent: dict[str, UnavailableModel] = {}
    for model, source in sources.items():
        result = open_model(model, source, before.get(model), threads, trial)
        if isinstance(result, UnavailableModel):
            absent[model] = result
        else:
            loaded[model] = result
    reasons = {model: unavailable_model.reason for model, unavailable_model in absent.items()}
    return Models(loaded, reasons, frozenset(model for model, reason in absent.items() if reason.is_unknown))


def find_pairing_fault(loaded: Mapping[str, LoadedModel[Any]]) -> str | None:
    """Return why the policy cannot serve with the audience, or None."""
    policy, audience = loaded.get("policy"), loaded.get("audience")
    expected = policy.card.audience if policy else None
    served = audience.origin.digest if audience else None
    if expected in (None, served):
        return None
    present = f"{served[:12]} is served" if served else "none is served"
    return f"it was trained with audience {expected[:12]}, {present}; promote them as a pair"


def open_model(
    model: str,
    source: ModelArtifact | UnavailableModel,
    before: LoadedModel[Any] | None,
    threads: int,
    trial: Trial,
) -> LoadedModel[Any] | UnavailableModel:
    """Verify, try and open a model, unless it is open in the same version."""
    if isinstance(source, UnavailableModel):
        return source
    if before and _is_same_artifact(before, source):
        return before if source.source == before.source else replace(before, source=source.source)
    try:
        verified = manifest.verify(source.folder)
        if verified.skipped:
            return UnavailableModel(f"skipped: {verified.skipped}")
        card = ModelCard.model_validate_json((source.folder / "card.json").read_bytes())
        origin = ModelOrigin(name=model, version=source.version, digest=manifest.digest(source.folder))
        if source.source != "cache":  # champions in the cache have served before
            trial(model, source.folder)
        opened = resolve_name(MODELS[model].opener)(source.folder, card, threads)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return LoadedModel(origin, since, card, opened, source.source, verified.inputs.get("table"))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime and NumPy raise their own; a bad file must not stop others
        return UnavailableModel(_describe(source.folder, error))


def _is_same_artifact(loaded: LoadedModel[Any], source: ModelArtifact) -> bool:
    path = source.folder / manifest.MANIFEST
    return source.version == loaded.origin.version and path.is_file() and manifest.sha256(path) == loaded.origin.digest


def find_fault(model: str, folder: Path, threads: int) -> str:
    """Return why a model cannot serve, or an empty text."""
    try:
        card = ModelCard.model_validate_json((folder / "card.json").read_bytes())
        resolve_name(MODELS[model].opener)(folder, card, threads)
    except Exception as error:  # noqa: BLE001 - see `open_model`
        return _describe(folder, error)
    return ""


def _describe(folder: Path, error: Exception) -> str:
    if isinstance(error, AdloomError):
        return str(error)
    return f"{folder}: {type(error).__name__}: {' '.join(str(error).split())}"


def open_generator(folder: Path, card: ModelCard, threads: int) -> Generator:
    """Open the picture generator and draw a picture of each category."""
    generator, shape = Generator(folder, threads, INFERENCE_TIMEOUT), card.shape
    if generator.columns != card.conditions.columns:
        names = f"card.json names {card.conditions.columns} categories and attribute values"
        raise ArtifactError(f"{folder}: a condition has {generator.columns} columns, {names}; train it again")
    each_category = card.conditions.encode(np.arange(len(card.categories)))
    pictures = generator(np.zeros((len(each_category), generator.latent), np.float32), each_category)
    check_output(folder, "pictures", pictures, (len(each_category), *shape))
    if np.abs(pictures).max() > 1 + PIXEL_TOLERANCE:
        raise ArtifactError(f"{folder}: it draws pixels outside [-1, 1]; train it again")
    return generator


def open_reader(folder: Path, card: ModelCard, threads: int) -> PictureReader:
    """Open the picture reader and read one picture."""
    reader = Reader(folder, threads, INFERENCE_TIMEOUT)
    reading = reader(np.zeros((1, *card.shape), np.float32))
    check_output(folder, "probabilities", reading.probabilities, (1, len(card.categories)))
    with np.load(folder / "known.npz", allow_pickle=False) as arrays:
        whiten = read_whitening(arrays)
        known = ReferenceEmbeddings(arrays["creative_id"], arrays["category"], whiten(arrays["embedding"]))
    check_output(folder, "known embeddings", known.embedding, (len(known.creative_id), reading.embedding.shape[1]))
    if check := load_copy_check(folder / "fingerprint.npz"):
        check_output(folder, "fingerprints", check.known, (len(check.known), check.fingerprint.projection.shape[1]))
    return PictureReader(reader, known, whiten, check)


def open_copywriter(folder: Path, card: ModelCard, threads: int) -> Writer:
    """Open the copywriter and predict one token."""
    tokens = tokenizer.from_json((folder / "tokenizer.json").read_text(encoding="utf-8"))
    writer = load_mixture(Copywriter(folder, threads, INFERENCE_TIMEOUT), folder / "ngrams.npz")
    logits, _ = writer(np.array([[tokens.begin]], np.int64), writer.start(1))
    check_output(folder, "logits", logits, (1, 1, tokens.size))
    with np.load(folder / "known.npz", allow_pickle=False) as arrays:
        return Writer(writer, tokens, arrays["fingerprints"], load_click_model(folder / "clicks.npz"))


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
    members.find_one("0" * 32)  # the first search builds an index
    return Audience(segmenter, members, key)


def open_policy(folder: Path, card: ModelCard, threads: int) -> Scorer:
    """Open the policy and draw one creative, then several."""
    policy = Policy.load(folder / "policy.npz")
    candidates = [*policy.creatives[:50], "a creative without history"]
    for count in (1, len(candidates)):  # the first use is slow
        probabilities = policy.probabilities({}, candidates[-count:])
        slate = draw_slate(probabilities, count, random.random)
        if abs(sum(probabilities) - 1) > SUM_TOLERANCE or min(slate.propensities) <= 0:
            raise ArtifactError(f"{folder}: its probabilities are {probabilities}; train it again")
    return policy.scorer
