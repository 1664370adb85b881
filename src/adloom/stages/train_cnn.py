"""
Train the picture reader, a ConvNet that classifies and embeds the pictures of data/dataset/creatives.

The artifact models/cnn holds reader.onnx, known.npz (ids, categories and embeddings of the training pictures, and the
whitening in which similar ones are searched), fingerprint.npz (a projection that finds near-duplicates, the
fingerprints of the training pictures, and the distance below which a generated picture counts as a copy), history.json
and card.json.

Example: adloom train-cnn
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.params import TrainCnn
from adloom.context import StageContext
from adloom.storage import manifest

if TYPE_CHECKING:
    from adloom.creatives.cnn_net import Reader
    from adloom.creatives.table import CreativeTable, StoredCreatives
    from adloom.training.session import History, TrainingSession

STAGE = "train_cnn"
FINGERPRINTED = 4000  # training pictures at most, to which the fingerprint is fitted


@dataclass(frozen=True)
class Inputs:
    """The prepared table of pictures."""

    creatives: Path = Path("data/dataset/creatives")


@dataclass(frozen=True)
class Outputs:
    """The reader."""

    cnn: Path = Path("models/cnn")


def run(inputs: Inputs, outputs: Outputs, params: TrainCnn, context: StageContext) -> Mapping[str, float]:
    """
    Train on split train, calibrate on split validation.

    Skipped with a single category. Raises DataError when there is no picture, AdloomError when the ONNX model differs
    from torch.
    """
    if manifest.propagate_skip(outputs.cnn, STAGE, params, inputs.creatives):
        return {}
    from adloom.stages.creative_rows import open_creatives
    from adloom.training.session import open_session

    manifest.verify(inputs.creatives)
    table = open_creatives(inputs.creatives)
    categories = table.list_categories()
    if len(categories) == 1:
        reason = f"one category only ({categories[0]}); a reader needs at least two to tell apart"
        manifest.skip(outputs.cnn, STAGE, params, reason)
        return {}
    with open_session(STAGE, inputs.creatives, outputs.cnn, params, context) as session:
        history = _train(table, categories, params, session, context)
    return {name: values[-1][1] for name, values in history.items()}


def _train(
    table: "CreativeTable", categories: list[str], params: TrainCnn, session: "TrainingSession", context: StageContext
) -> "History":
    from adloom.stages.reader_candidates import TrainingPictures, train_best

    space = table.list_conditions()
    train, validation = (table.decode_split(split, categories) for split in ("train", "validation"))
    conditions = space.encode(table.number_labels(table.find_rows("train", categories), space))
    pictures = TrainingPictures(
        train, validation, conditions[:, len(categories) :], len(categories), tuple(space.sizes[1:])
    )
    best = train_best(pictures, params, session, context)
    channels, height, width = table.shape
    _export(best.net, (channels, height, width), session.draft.path / "reader.onnx")
    _write_references(table, train, categories, params, session.draft.path)
    _write_fingerprint(train, validation, params, session.draft.path)
    session.draft.rows.update(train=len(train), validation=len(validation))
    image = {"height": height, "width": width, "channels": channels}
    card = {"model": "cnn", **asdict(space), "image": image, "backbone": best.backbone}
    session.describe(card, best.history, params)
    return best.history


def _export(net: "Reader", shape: tuple[int, int, int], path: Path) -> None:
    import torch

    from adloom.creatives.cnn_net import Probabilities
    from adloom.onnx_models import export

    def example(batch: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(batch)
        return {"picture": torch.rand((batch, *shape), generator=random) * 2 - 1}

    outputs = ["probabilities", "embedding", "evidence", *(["attributes"] if net.attribute_sizes else [])]
    export.export(
        Probabilities(net),
        example,
        path,
        outputs=outputs,
        dynamic={name: {0: "batch"} for name in ("picture", *outputs)},
        shapes=export.BATCHES,
    )


def _write_references(
    table: "CreativeTable", train: "StoredCreatives", categories: list[str], params: TrainCnn, folder: Path
) -> None:
    """Write known.npz: the exported reader's embedding of each training picture, in half precision; its whitening."""
    import numpy as np

    from adloom.creatives.pictures import to_floats
    from adloom.creatives.whitening import fit_whitening
    from adloom.onnx_models.runtime import Reader
    from adloom.storage import npz

    reader = Reader(folder, params.threads)
    batches = [reader(to_floats(batch)).embedding.astype(np.float16) for batch in train.split_batches()]
    embedding = np.concatenate(batches)
    fitted = fit_whitening(embedding)
    npz.save(
        folder / "known.npz",
        creative_id=table.rows["creative_id"].iloc[table.find_rows("train", categories)].to_numpy(str),
        category=np.array(categories)[train.category],
        embedding=embedding,
        mean=fitted.mean,
        whitening=fitted.matrix,
    )


def _write_fingerprint(train: "StoredCreatives", validation: "StoredCreatives", params: TrainCnn, folder: Path) -> None:
    """Fit the fingerprint to some of the training pictures; calibrate the distance of copies on validation pictures."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from adloom.creatives.copy_check import calibrate_threshold, find_distances
    from adloom.creatives.fingerprint import fit_fingerprint
    from adloom.storage import npz

    rows = np.linspace(0, len(train) - 1, min(len(train), FINGERPRINTED)).astype(np.int64)
    with threadpool_limits(1, "blas"):  # more threads round differently
        fitted = fit_fingerprint(train.pixels[rows], params.seed)
        known = np.concatenate([fitted(batch) for batch in train.split_batches()]).astype(np.float16)
        held_out = [find_distances(fitted(batch), known.astype(np.float32)) for batch in validation.split_batches()]
    threshold = calibrate_threshold(np.concatenate([np.empty(0), *held_out]))
    npz.save(
        folder / "fingerprint.npz",
        mean=fitted.mean,
        projection=fitted.projection,
        known=known,
        threshold=np.array(threshold),
    )
