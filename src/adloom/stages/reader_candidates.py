"""Train the picture reader from scratch, on pretrained features, or both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from adloom.arrays import Float16Array, Float32Array, Int64Array
from adloom.config.params import TrainCnn
from adloom.context import StageContext
from adloom.creatives.table import StoredCreatives
from adloom.stages.pretrained import fetch_pretrained
from adloom.tracking.memory import MemoryRun

if TYPE_CHECKING:
    from torch import nn

    from adloom.creatives.batches import PictureDataset
    from adloom.creatives.cnn_net import Reader
    from adloom.training.session import History, TrainingSession

Backbone = Literal["scratch", "efficientnet_lite0"]
MAX_PICTURES = {1: 5_000, 3: 10_000}  # by channels: with more, a network of its own is better or the features too slow
WIDTHS = {28: 28, 32: 24, 64: 24, 128: 20}  # by size; with STEPS, every size takes about the same time
STEPS = {28: 990, 32: 990, 64: 990, 128: 600}
PASSES = 100  # over all pictures at most
MAX_VIEWS = 10_000  # pictures and mirrored pictures of which features are computed


@dataclass(frozen=True)
class TrainingPictures:
    """The pictures of a reader."""

    train: StoredCreatives
    validation: StoredCreatives
    conditions: Float32Array  # (training pictures, values of attributes)
    categories: int
    attributes: Sequence[int]  # values of each attribute

    @property
    def labels(self) -> list[Int64Array | Float32Array]:
        """The labels of the training pictures: the category, and the attributes if there are any."""
        return [self.train.category, *([self.conditions] if self.attributes else [])]

    @property
    def counts(self) -> Int64Array:
        """The training pictures of each category."""
        return np.bincount(self.train.category, minlength=self.categories)


@dataclass(frozen=True)
class TrainedReader:
    """A calibrated reader and its backbone."""

    backbone: Backbone
    net: "Reader"
    history: "History"
    loss: float  # on split validation


def train_best(
    pictures: TrainingPictures, params: TrainCnn, session: "TrainingSession", context: StageContext
) -> TrainedReader:
    """Train the reader of every backbone in question, and return the best on split validation."""
    backbones = list_backbones(pictures.train, params)
    params = complete_params(params, len(pictures.train), pictures.train.pixels.shape[2])
    if len(backbones) == 1:
        return _train(backbones[0], pictures, params, session, context)
    candidates = []
    for backbone in backbones:
        own = replace(
            session,
            checkpoint=session.checkpoint.with_name(f"{backbone}.ckpt"),
            remote=None,
            run=MemoryRun(backbone, {}, {}),
        )
        candidates.append(_train(backbone, pictures, params, own, context))
    best = min(candidates, key=lambda candidate: candidate.loss)
    for name, points in best.history.items():
        for step, value in points:
            session.run.log_metrics({name: value}, int(step))
    session.run.log_metrics({f"{candidate.backbone}_loss": candidate.loss for candidate in candidates}, 0)
    return best


def complete_params(params: TrainCnn, pictures: int, size: int) -> TrainCnn:
    """Return params in which a width and steps per epoch of 0 are replaced by what suits these pictures."""
    width, steps = params.width or WIDTHS[size], params.steps_per_epoch
    if not steps:
        steps = max(1, min(STEPS[size], PASSES * -(-pictures // params.batch_size)) // params.epochs)
    return params.model_copy(update={"width": width, "steps_per_epoch": steps})


def list_backbones(train: StoredCreatives, params: TrainCnn) -> list[Backbone]:
    """Return the backbones to train, the one preferred without evidence first."""
    if params.backbone != "auto":
        return [params.backbone]
    is_small = len(train) <= MAX_PICTURES[train.pixels.shape[1]]
    return ["efficientnet_lite0", "scratch"] if is_small and params.processes == 1 else ["scratch"]


def _train(
    backbone: Backbone,
    pictures: TrainingPictures,
    params: TrainCnn,
    session: "TrainingSession",
    context: StageContext,
) -> TrainedReader:
    import torch

    from adloom.creatives.cnn_module import ReaderModule, calibrate
    from adloom.creatives.cnn_net import Reader
    from adloom.creatives.pictures import batch_size
    from adloom.training import loop

    torch.set_num_threads(params.threads)
    data = (
        _prepare_pictures(pictures, params) if backbone == "scratch" else _prepare_features(pictures, params, context)
    )

    def build_module() -> ReaderModule:
        reader = Reader(data.build_body(), data.features, pictures.categories, params.embedding, pictures.attributes)
        return ReaderModule(reader, params, pictures.counts)

    module, history = loop.fit(build_module, data.train, params, session, validation=data.validation)
    batches = loop.split_in_order(len(data.validation), batch_size(*pictures.train.pixels.shape[2:]))
    loss = calibrate(module.net, (data.validation[batch] for batch in batches))
    module.net.body = data.body or module.net.body
    return TrainedReader(backbone, module.net.eval(), history, loss)


@dataclass(frozen=True)
class _Data:
    """The rows of one backbone, and its network."""

    build_body: Callable[[], "nn.Module"]  # the part that is trained
    features: int
    train: "PictureDataset"
    validation: "PictureDataset"
    body: "nn.Module | None" = None  # computes the features that `train` consists of


def _prepare_pictures(pictures: TrainingPictures, params: TrainCnn) -> _Data:
    from adloom.creatives.batches import PictureDataset
    from adloom.creatives.cnn_net import STAGES, Body

    _, channels, size, _ = pictures.train.pixels.shape
    return _Data(
        lambda: Body(channels, size, params.width),
        params.width * 2**STAGES,
        PictureDataset(pictures.train.pixels, *pictures.labels),
        PictureDataset(pictures.validation.pixels, pictures.validation.category),
    )


def _prepare_features(pictures: TrainingPictures, params: TrainCnn, context: StageContext) -> _Data:
    from torch import nn

    from adloom.creatives.batches import PictureDataset
    from adloom.creatives.cnn_net import PretrainedBody
    from adloom.creatives.efficientnet import FEATURES, embed_pictures, load_efficientnet

    net = load_efficientnet(fetch_pretrained(params.pretrained, context))
    train, validation = (embed_pictures(net, data.split_batches()) for data in (pictures.train, pictures.validation))
    labels = pictures.labels
    if 2 * len(train) <= MAX_VIEWS:
        mirrored = embed_pictures(net, (batch[..., ::-1].copy() for batch in pictures.train.split_batches()))
        train, labels = np.concatenate([train, mirrored]), [np.concatenate([label, label]) for label in labels]
    return _Data(
        nn.Identity,
        FEATURES,
        PictureDataset(_to_maps(train), *labels),
        PictureDataset(_to_maps(validation), pictures.validation.category),
        PretrainedBody(net),
    )


def _to_maps(features: Float32Array) -> Float16Array:
    """Return features (pictures, features) in half precision, as maps of one pixel."""
    return features.astype(np.float16)[:, :, None, None]
