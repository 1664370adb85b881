"""A small table of creatives to train on: stripes and squares of random shades."""

from pathlib import Path

import numpy as np
import pandas as pd

from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.creatives import pictures
from adloom.creatives.table import CreativeTable
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore
from adloom.tracking.memory import MemoryTracker

SPLITS = ("train", "train", "train", "validation", "test")


def rows(categories: tuple[str, ...] = ("squares", "stripes"), size: int = 28, channels: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(0)
    names = [categories[number % len(categories)] for number in range(60)]
    pixels = random.integers(0, 80, (60, channels, size, size), np.uint8)
    pixels[0::2, :, 8:20, 8:20] += 150
    pixels[1::2, :, ::4] += 150
    return pd.DataFrame(
        {
            "creative_id": [f"creative-{number}" for number in range(60)],
            "category": names,
            "image": pictures.encode_pngs(pixels),
            "width": size,
            "height": size,
            "channels": channels,
            "split": [SPLITS[number % 5] for number in range(60)],
        }
    )


def as_table(frame: pd.DataFrame) -> CreativeTable:
    return CreativeTable(frame, lambda: iter([frame["image"]]))


def write(folder: Path, table: pd.DataFrame) -> Path:
    with manifest.draft(folder / "creatives", "prepare", Source(uri="test"), {}) as draft:
        parquet.write(table, draft.path)
        draft.facts.update(source="a test", licence="CC0")
    return folder / "creatives"


def context(folder: Path) -> StageContext:
    return StageContext(
        FolderStore(), MemoryTracker(), MemoryRegistry(folder / "registry"), None, folder / ".adloom", False
    )
