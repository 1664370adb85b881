"""
Train the picture generator on each category of data/dataset/creatives, and write models/gan.

The artifact holds generator.onnx, sample_sheet.png (a row per category), history.json and card.json.

Example: adloom train-gan
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.params import TrainGan
from adloom.context import StageContext
from adloom.storage import manifest

if TYPE_CHECKING:
    from torch import nn

    from adloom.arrays import Float32Array
    from adloom.creatives.conditions import ConditionSpace
    from adloom.creatives.gan_module import GanModule
    from adloom.training.session import TrainingSession

STAGE = "train_gan"
PER_CATEGORY = 10  # pictures of each category on the sample sheet
REFERENCE = 1000  # real pictures that each epoch's are compared with
NOISE = 0.25  # of the kernel distance; of epochs that differ less, the last is the model


@dataclass(frozen=True)
class Inputs:
    """The prepared table of pictures."""

    creatives: Path = Path("data/dataset/creatives")


@dataclass(frozen=True)
class Outputs:
    """The generator."""

    gan: Path = Path("models/gan")


def run(inputs: Inputs, outputs: Outputs, params: TrainGan, context: StageContext) -> Mapping[str, float]:
    """
    Train on split train alone.

    Raises DataError when there is no picture, AdloomError when the ONNX model differs from torch.
    """
    if manifest.propagate_skip(outputs.gan, STAGE, params, inputs.creatives):
        return {}
    from adloom.training.session import open_session

    with open_session(STAGE, inputs.creatives, outputs.gan, params, context) as session:
        history = _train(inputs.creatives, params, session)
    return {name: values[-1][1] for name, values in history.items()}


def _train(creatives: Path, params: TrainGan, session: "TrainingSession") -> Mapping[str, list[list[float]]]:
    import numpy as np
    import torch

    from adloom.creatives import gan_budget
    from adloom.creatives.batches import PictureDataset
    from adloom.creatives.conditions import Conditions
    from adloom.creatives.dcgan_module import DcganModule
    from adloom.creatives.dcgan_net import DcganDiscriminator, DcganGenerator
    from adloom.creatives.gan_module import STATISTICS_BATCHES, GanModule, standing_statistics
    from adloom.creatives.gan_net import Discriminator, Generator
    from adloom.creatives.picture_codes import encode_pictures
    from adloom.stages.creative_rows import open_creatives
    from adloom.training import loop

    table = replace(open_creatives(creatives), transparency=True)
    space = table.list_conditions()
    channels, height, width = table.shape
    train = table.decode_split("train", space.categories)
    labels = table.number_labels(table.find_rows("train", space.categories), space)
    completed = gan_budget.complete_params(params, len(train), channels, height, space.columns)
    is_reconstructed = bool(completed.reconstruction)
    codes = [encode_pictures(train.split_batches(), train.category, completed.latent)] if is_reconstructed else []
    rows = PictureDataset(train.pixels, Conditions(space, labels), *codes)
    reference = rows[np.linspace(0, len(rows) - 1, min(REFERENCE, len(rows))).astype(np.int64)]

    def build_module() -> GanModule:
        if completed.net == "dcgan":
            dcgan = DcganGenerator(channels, height, space.columns, completed.width, completed.latent)
            judge = DcganDiscriminator(channels, height, space.columns, completed.width)
            return DcganModule(dcgan, judge, space.sizes, completed, reference)
        generator = Generator(channels, height, space.columns, completed.width, completed.latent)
        discriminator = Discriminator(channels, height, space.columns, completed.width, normalize=params.spectral_norm)
        return GanModule(generator, discriminator, space.sizes, completed, reference)

    def draw_epoch(module: GanModule, step: int) -> None:
        _log_epoch_sheet(module, space, step, session)

    patience = None if is_reconstructed else completed.patience  # pictures get better where the kernel distance grows
    module, history = loop.fit(
        build_module, rows, completed, session,
        patience=patience, monitor="kernel_distance", tolerance=NOISE, on_epoch=draw_epoch,
    )  # fmt: skip
    in_turn = space.take_turns(labels, STATISTICS_BATCHES * completed.batch_size)
    generator = standing_statistics(module, torch.from_numpy(space.encode(in_turn)))
    _export(generator, space.columns, completed.latent, session.draft.path / "generator.onnx")
    _draw_sample_sheet(space, replace(table, transparency=False).shape, completed, session)
    session.draft.rows.update(train=len(train))
    image = {"height": height, "width": width, "channels": channels}
    session.describe({"model": "gan", **asdict(space), "image": image}, history, params)
    return history


def _export(generator: "nn.Module", columns: int, latent: int, path: Path) -> None:
    import torch

    from adloom.creatives.gan_net import Upsample
    from adloom.onnx_models import export

    for module in generator.modules():
        if isinstance(module, Upsample):
            module.fold()

    def example(batch: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(batch)
        z = torch.randn((batch, latent), generator=random)
        return {"z": z, "condition": torch.rand((batch, columns), generator=random)}

    batch = {0: "batch"}
    export.export(
        generator,
        example,
        path,
        outputs=["picture"],
        dynamic={"z": batch, "condition": batch, "picture": batch},
        shapes=export.BATCHES,
    )


def _draw_sample_sheet(
    space: "ConditionSpace", shape: tuple[int, int, int], params: TrainGan, session: "TrainingSession"
) -> None:
    """Draw the sample sheet with the exported generator."""
    from adloom.creatives import inference, pictures
    from adloom.onnx_models.runtime import Generator

    generator = inference.OpaqueGenerator(Generator(session.draft.path, params.threads))
    path = session.draft.path / "sample_sheet.png"
    generated = inference.generate_pictures(generator, _repeat_categories(space), shape, params.seed)
    path.write_bytes(pictures.draw_sheet(generated, PER_CATEGORY, space.categories))
    session.run.log_artifact(path)


def _log_epoch_sheet(module: "GanModule", space: "ConditionSpace", step: int, session: "TrainingSession") -> None:
    """Log a sheet of the averaged generator, from the same noise after every epoch."""
    import torch

    from adloom.creatives import pictures
    from adloom.creatives.gan_progress import draw_by_batch_statistics

    condition = torch.from_numpy(_repeat_categories(space)).to(module.device)
    drawn = draw_by_batch_statistics(module.average, condition, module.params.latent, len(condition))
    path = session.draft.path / f"sample_sheet_{step:06}.png"
    pixels = pictures.to_pixels(pictures.lay_on_white(drawn.cpu().numpy()))
    path.write_bytes(pictures.draw_sheet(pixels, PER_CATEGORY, space.categories))
    session.run.log_artifact(path)
    path.unlink()


def _repeat_categories(space: "ConditionSpace") -> "Float32Array":
    """Return the conditions of a sheet, a row of each category."""
    import numpy as np

    return space.encode(np.repeat(np.arange(len(space.categories)), PER_CATEGORY))
