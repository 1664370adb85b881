"""EfficientNet-Lite0 with random weights, as published and as a file that the catalogue's pin accepts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adloom.catalogue import entries, networks
from adloom.creatives.efficientnet import EfficientNetLite0
from adloom.storage.base import SourceFile
from adloom.storage.manifest import sha256


def write_weights(folder: Path) -> Path:
    """Write random weights of a scale (He et al. 2015) at which the features of pictures differ."""
    torch.manual_seed(3)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / networks.EFFICIENTNET.files[0].path
    net = EfficientNetLite0()
    for parameter in net.parameters():
        torch.nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else torch.nn.init.zeros_(parameter)
    save_file(net.state_dict(), path)
    return path


def pin_weights(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write random weights, and let the catalogue expect them."""
    path = write_weights(folder)
    file = SourceFile(path.name, path.stat().st_size, f"sha256:{sha256(path)}")
    entry = replace(networks.EFFICIENTNET, files=(file,))
    patch.setattr(entries, "ENTRIES", {**entries.ENTRIES, "efficientnet-lite0": entry})
    return path
