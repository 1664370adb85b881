"""Open a model with its rows and measure it."""

import json
import logging
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from adloom.arrays import Float32Array
from adloom.config.audience import TrainPolicy
from adloom.config.models import MODELS, ModelSpec
from adloom.config.params import Evaluate
from adloom.context import StageContext
from adloom.errors import ArtifactError, ConfigError
from adloom.evaluation.metric import Evaluation
from adloom.storage import manifest, parquet

if TYPE_CHECKING:
    from adloom.creatives.conditions import ConditionSpace
    from adloom.creatives.gan_evaluation import Embed, Judges
    from adloom.creatives.search_evaluation import KnownPictures
    from adloom.creatives.table import CreativeTable
    from adloom.evaluation.metric import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """A model and everything it is measured with."""

    model: Path
    table: Path
    judge: Path  # the model itself when it needs none
    params: Evaluate
    rows_of: Path  # the policy that decides which impressions are old enough to count
    context: StageContext | None  # fetches pretrained features; without it, they are left out


def measure(
    model: Path,
    table: Path,
    judge: Path,
    params: Evaluate,
    context: StageContext | None = None,
    rows_of: Path | None = None,
) -> Evaluation:
    """Measure a model on the test rows of a table; for a policy, on the rows of another policy, `rows_of`."""
    evaluation: Evaluation = resolve_name(find_spec(model).evaluator)(
        Subject(model, table, judge, params, rows_of or model, context)
    )
    return evaluation


def find_spec(model: Path) -> ModelSpec:
    """Return the row of an artifact. Raises ArtifactError when its stage trains no model."""
    stage = manifest.read(model).stage
    specs = {spec.stage: spec for spec in MODELS.values()}
    if stage not in specs:
        raise ArtifactError(f"{model}: made by {stage}, which makes no model; expected one of {', '.join(specs)}")
    return specs[stage]


def resolve_judge(model: Path, judge: Path | None) -> Path:
    """Return the judge, by default the model itself. Raises ConfigError when the model needs another."""
    spec = find_spec(model)
    if judge is None and spec.judge:
        raise ConfigError(f"--judge: required for {model}, a {spec.name}; give --judge models/{spec.judge}")
    return judge or model


def read_card(model: Path) -> dict[str, Any]:
    """Return a model's card.json."""
    return json.loads((model / "card.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def measure_generator(subject: Subject) -> Evaluation:
    """Measure the picture generator; without a reader, by pixels alone."""
    from adloom.creatives import attribute_evaluation, gan_evaluation
    from adloom.creatives.conditions import ConditionSpace
    from adloom.creatives.inference import OpaqueGenerator
    from adloom.onnx_models.runtime import Generator, Reader
    from adloom.stages.creative_rows import open_creatives

    model, params = subject.model, subject.params
    creatives, space = open_creatives(subject.table), ConditionSpace.from_card(read_card(model))
    generator, judges = OpaqueGenerator(Generator(model, params.threads)), _open_judges(subject, creatives, space)
    evaluation = gan_evaluation.evaluate(generator, judges, creatives, space, params, _history(model))
    if not space.attributes or not isinstance(judges.reader, Reader):
        return evaluation
    if read_card(subject.judge).get("attributes") != space.attributes:
        log.warning("%s: attributes are not measured, %s knows others; train both on one table", model, subject.judge)
        return evaluation
    measured = attribute_evaluation.evaluate_generator(generator, judges.reader, creatives, space, params)
    return evaluation.extend(measured)


def _open_judges(subject: Subject, creatives: "CreativeTable", space: "ConditionSpace") -> "Judges":
    """Open the reader, unless it was skipped, and the pretrained features, unless params leave them out."""
    from adloom.creatives.gan_evaluation import Judges
    from adloom.onnx_models.runtime import Reader

    params, context = subject.params, subject.context
    embed = _open_features(params.features, params.threads, context) if params.features and context else None
    if manifest.skip_reason(subject.judge):
        return Judges(embed=embed)
    ids = creatives.rows["creative_id"].iloc[creatives.find_rows("train", space.categories)]
    return Judges(Reader(subject.judge, params.threads), _read_embeddings(subject.judge, ids.tolist()), embed)


def _open_features(uri: str, threads: int, context: StageContext) -> "Embed":
    """Return the function that embeds batches of pictures in pretrained features."""
    import torch

    from adloom.creatives.efficientnet import embed_textures, load_efficientnet
    from adloom.stages.pretrained import fetch_pretrained

    torch.set_num_threads(threads)
    return partial(embed_textures, load_efficientnet(fetch_pretrained(uri, context)))


def _read_embeddings(reader: Path, ids: list[str]) -> Float32Array | None:
    """Return a reader's embeddings of the pictures (ids, dimensions); None when it was trained on others."""
    import numpy as np

    with np.load(reader / "known.npz") as known:
        number = {name: row for row, name in enumerate(known["creative_id"].tolist())}
        rows = [number.get(name, -1) for name in ids]
        return None if min(rows) < 0 else known["embedding"][rows]


def measure_reader(subject: Subject) -> Evaluation:
    """Measure the picture reader."""
    from adloom.creatives import attribute_evaluation, baseline_evaluation, cnn_evaluation, evidence, search_evaluation
    from adloom.creatives.conditions import ConditionSpace
    from adloom.onnx_models.runtime import Reader
    from adloom.stages.creative_rows import open_creatives

    model, params = subject.model, subject.params
    creatives, space = open_creatives(subject.table), ConditionSpace.from_card(read_card(model))
    reader = Reader(model, params.threads)
    evaluation = cnn_evaluation.evaluate(reader, creatives, space.categories, params, _history(model))
    known = _read_known_pictures(model, space.categories)
    evaluation = evaluation.extend(search_evaluation.evaluate(reader, creatives, space.categories, known, params))
    evaluation = evaluation.extend(baseline_evaluation.evaluate(reader, creatives, space.categories, params))
    evaluation = evaluation.extend(evidence.evaluate(reader, creatives, space.categories))
    if not space.attributes:
        return evaluation
    return evaluation.extend(attribute_evaluation.evaluate_reader(reader, creatives, space, params))


def _read_known_pictures(model: Path, categories: list[str]) -> "KnownPictures":
    """Return the training pictures of a reader."""
    import numpy as np

    from adloom.creatives.fingerprint import Fingerprint
    from adloom.creatives.search_evaluation import KnownPictures
    from adloom.creatives.whitening import read_whitening

    numbers = {name: number for number, name in enumerate(categories)}
    with np.load(model / "known.npz", allow_pickle=False) as arrays:
        category = np.array([numbers[name] for name in arrays["category"]], np.int64)
        embedding, whiten = arrays["embedding"], read_whitening(arrays)
    if not (path := model / "fingerprint.npz").exists():  # of an older version
        return KnownPictures(category, embedding, whiten)
    with np.load(path, allow_pickle=False) as arrays:
        return KnownPictures(category, embedding, whiten, Fingerprint(arrays["mean"], arrays["projection"]))


def measure_copywriter(subject: Subject) -> Evaluation:
    """Measure the copywriter."""
    from adloom.copywriting import evaluation, tokenizer
    from adloom.copywriting.click_model import load_click_model
    from adloom.onnx_models.runtime import Copywriter
    from adloom.sequences.mixture import load_mixture

    model, params = subject.model, subject.params
    words = tokenizer.from_json((model / "tokenizer.json").read_text(encoding="utf-8"))
    write = load_mixture(Copywriter(model, params.threads), model / "ngrams.npz")
    rows = parquet.read(subject.table)
    clicks, categories = load_click_model(model / "clicks.npz"), read_card(model)["categories"]
    return evaluation.evaluate(write, words, rows, categories, params, _history(model), clicks)


def measure_stylizer(subject: Subject) -> Evaluation:
    """Measure the stylizer."""
    from adloom.creatives import style_evaluation
    from adloom.creatives.style_judge_net import StyleJudge
    from adloom.onnx_models.runtime import DreamGradient, Stylizer
    from adloom.stages.creative_rows import open_creatives

    model, params = subject.model, subject.params
    stylize, gradient = Stylizer(model, params.threads), DreamGradient(model, params.threads)
    judge, creatives = StyleJudge(model, params.threads), open_creatives(subject.table)
    return style_evaluation.evaluate(stylize, gradient, judge, creatives, params, _history(model))


def measure_composer(subject: Subject) -> Evaluation:
    """Measure the composer."""
    from adloom.music import evaluation, vocabulary
    from adloom.onnx_models.runtime import Composer

    model, params = subject.model, subject.params
    compose = Composer(model, params.threads)
    notes = vocabulary.from_json((model / "vocabulary.json").read_text(encoding="utf-8"))
    return evaluation.evaluate(compose, notes, parquet.read(subject.table), params, _history(model))


def measure_audience(subject: Subject) -> Evaluation:
    """Measure the audience segments."""
    from adloom.audience import evaluation
    from adloom.audience.bots import drop_bots
    from adloom.audience.segmenter import Segmenter
    from adloom.stages.user_files import write_below
    from adloom.storage.table_scan import scan_table

    model = subject.model
    details = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in ("profiles", "migration", "diagnostics")
        if (path := model / f"{name}.json").is_file()  # older versions lack some
    }
    segmenter, card = Segmenter.load(model / "segmenter.npz"), read_card(model) | details
    events = drop_bots(scan_table(subject.table), subject.table)
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        return evaluation.evaluate(
            segmenter, events, card, subject.params, write_below(Path(scratch), parquet.count_rows(subject.table))
        )


def measure_recommender(subject: Subject) -> Evaluation:
    """Measure the recommender."""
    from adloom.onnx_models.runtime import ItemEncoder
    from adloom.recommendation import evaluation
    from adloom.recommendation.recommender import load_items, load_models
    from adloom.storage.table_scan import scan_table

    model, params = subject.model, subject.params
    encode = ItemEncoder(model, params.threads) if (model / "encoder.onnx").exists() else None
    models = load_models(model, encode)
    events, card = scan_table(subject.table), read_card(model)
    return evaluation.evaluate(models, load_items(model), events, card, params, _history(model))


def measure_policy(subject: Subject) -> Evaluation:
    """Measure the policy. Raises ArtifactError when the judge is not its own audience."""
    from adloom.policy import evaluation
    from adloom.policy.scorer import Policy
    from adloom.stages.policy_rows import read_impressions

    card, trained = read_card(subject.model), TrainPolicy.model_validate(read_card(subject.rows_of)["params"])
    if card["audience"] not in (None, manifest.digest(subject.judge)):
        raise ArtifactError(
            f"{subject.model}: decides with another audience than {subject.judge}; `adloom train-policy` takes this one"
        )
    audience = subject.judge if card["audience"] else None
    policy = Policy.load(subject.model / "policy.npz")
    calibration, _ = read_impressions(subject.table, audience, "calibration", trained)
    rivals, unit = evaluation.fit_rivals(policy, calibration, card), calibration.unit
    del calibration  # both periods need not fit into memory together
    holdout, excluded = read_impressions(subject.table, audience, "holdout", trained, unit, True)
    measured = evaluation.evaluate(policy, rivals, holdout, excluded, trained.seed)
    arms = _describe_arms(subject.table)
    return measured.extend(Evaluation({}, {}, [arms])) if arms else measured


def _describe_arms(table: Path) -> "Table | None":
    from adloom.policy.arms import ARM, COLUMNS, build_arms_table

    columns = parquet.list_columns(table)
    if not set(ARM) <= set(columns):
        return None
    return build_arms_table(
        parquet.read_chunks(table, columns=[name for name in COLUMNS if name in columns], split="holdout")
    )


def _history(model: Path) -> dict[str, list[list[float]]]:
    return json.loads((model / "history.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
