"""
Train the stylizer, which paints one picture with the colours and strokes of another, in one pass.

It learns on the pictures of data/dataset/creatives, and on textures and scenes that are drawn from the seed. The
artifact models/style holds stylizer.onnx, dream.onnx (the gradient of DeepDream), judge.safetensors (the layers in
which it is measured), history.json and card.json.

Example: adloom train-style
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.params import TrainStyle
from adloom.context import StageContext
from adloom.storage import manifest

if TYPE_CHECKING:
    from adloom.creatives.efficientnet import EfficientNetLite0
    from adloom.creatives.style_module import StylePairs
    from adloom.creatives.stylizer_net import Stylizer
    from adloom.creatives.table import CreativeTable
    from adloom.training.session import History, TrainingSession

STAGE = "train_style"
MAX_CREATIVES = 512  # of the table, evenly spread
DREAM_BLOCKS = 11  # served; later ones see little in small pictures


@dataclass(frozen=True)
class Inputs:
    """The prepared table of pictures."""

    creatives: Path = Path("data/dataset/creatives")


@dataclass(frozen=True)
class Outputs:
    """The stylizer."""

    style: Path = Path("models/style")


def run(inputs: Inputs, outputs: Outputs, params: TrainStyle, context: StageContext) -> Mapping[str, float]:
    """Train on split train. Raises DataError when there is no picture, AdloomError when ONNX differs from torch."""
    if manifest.propagate_skip(outputs.style, STAGE, params, inputs.creatives):
        return {}
    from adloom.creatives.efficientnet import load_efficientnet
    from adloom.stages.creative_rows import open_creatives
    from adloom.stages.pretrained import fetch_pretrained
    from adloom.training.session import open_session

    manifest.verify(inputs.creatives)
    table = open_creatives(inputs.creatives)
    net = load_efficientnet(fetch_pretrained(params.pretrained, context))
    with open_session(STAGE, inputs.creatives, outputs.style, params, context) as session:
        history = _train(table, net, params, session)
    return {name: values[-1][1] for name, values in history.items()}


def _train(
    table: "CreativeTable", net: "EfficientNetLite0", params: TrainStyle, session: "TrainingSession"
) -> "History":
    from adloom.creatives.style_judge_net import save_judge
    from adloom.creatives.style_module import StyleModule
    from adloom.creatives.stylizer_net import Stylizer
    from adloom.training import loop

    pairs = _draw_pairs(table, params)
    module, history = loop.fit(lambda: StyleModule(Stylizer(net, params.width), net, params), pairs, params, session)
    _export_stylizer(module.net, session.draft.path / "stylizer.onnx")
    _export_dream(net, session.draft.path / "dream.onnx")
    save_judge(net, session.draft.path)
    session.draft.rows.update(train=len(pairs))
    session.describe({"model": "style", "edge": params.edge, "layers": DREAM_BLOCKS}, history, params)
    return history


def _draw_pairs(table: "CreativeTable", params: TrainStyle) -> "StylePairs":
    """Return creatives and scenes as contents, textures and some creatives as styles."""
    import numpy as np

    from adloom.creatives import textures
    from adloom.creatives.pictures import enlarge
    from adloom.creatives.style_module import StylePairs

    rows = table.find_rows("train", table.list_categories())
    spread = np.unique(np.linspace(0, len(rows) - 1, MAX_CREATIVES).astype(np.int64))
    creatives = enlarge(table.decode(rows[spread]), params.edge)
    scenes = textures.draw_scenes(params.drawn, params.edge, params.seed)
    drawn = textures.draw_textures(params.drawn, params.edge, params.seed)
    return StylePairs(
        np.concatenate([creatives, scenes]), np.concatenate([creatives[:: max(4, len(creatives) // 16)], drawn])
    )


def _export_stylizer(net: "Stylizer", path: Path) -> None:
    import torch

    from adloom.onnx_models import export

    def example(batch: int, height: int, width: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(batch)
        content, style = (
            torch.rand((batch, 3, *size), generator=random) * 2 - 1
            for size in ((8 * height, 8 * width), (8 * width, 8 * height))
        )
        return {"content": content, "style": style, "strength": torch.rand(batch, generator=random)}

    size = {0: "batch", 2: "height", 3: "width"}
    export.export(
        net,
        example,
        path,
        outputs=["picture"],
        dynamic={
            "content": size,
            "style": {0: "batch", 2: "rows", 3: "columns"},
            "strength": {0: "batch"},
            "picture": size,
        },
        shapes=[(1, 2, 5), (2, 4, 3)],
    )


def _export_dream(net: "EfficientNetLite0", path: Path) -> None:
    import torch

    from adloom.creatives.dream_net import DreamGradient
    from adloom.onnx_models import export

    def example(height: int, width: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(height)
        picture = torch.rand((1, 3, 32 * height, 32 * width), generator=random) * 2 - 1
        return {"picture": picture, "weights": torch.rand(DREAM_BLOCKS, generator=random)}

    size = {2: "height", 3: "width"}
    export.export(
        DreamGradient(net, DREAM_BLOCKS),
        example,
        path,
        outputs=["gradient"],
        dynamic={"picture": size, "gradient": size},
        shapes=[(1, 2), (3, 1)],
    )
