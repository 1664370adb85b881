"""A small shop: four tables in a user's formats, each with a known pattern."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from tests.support import toy_tunes

CATEGORIES = ("hats", "scarves", "shoes")
ARTICLES = 24
SHIPPED = Path(__file__).parents[2] / "params.yaml"


def write_shop(folder: Path, *, pictures: int = 40, size: int = 64, users: int = 160) -> dict[str, Any]:
    """Write the shop's files to `folder/shop`; return params that read them, with minimal trainings."""
    rng = np.random.default_rng(3)
    shop = folder / "shop"
    _pictures(shop / "pictures", rng, pictures, size)
    _copy(rng).to_csv(shop / "copy.csv", index=False)
    _orders(rng, users).to_csv(shop / "orders.csv", index=False)
    _impressions(rng, pictures, users).to_parquet(shop / "impressions.parquet")
    toy_tunes.tune_rows()[["tune_id", "notation"]].to_csv(shop / "tunes.csv", index=False)
    return params()


def params() -> dict[str, Any]:
    """Return the shipped params with the shop's files and small trainings."""
    loaded: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    loaded["project"] = "shop"
    loaded["ingest"] = {
        "creatives": {"uri": "shop/pictures", "format": "folder", "licence": "own work"},
        "copy": {"uri": "shop/copy.csv", "format": "csv", "columns": {"text": "line", "category": "department"}},
        "events": {
            "uri": "shop/orders.csv",
            "format": "csv",
            "columns": {"user_id": "customer", "timestamp": "ordered_at", "item_id": "article", "value": "total"},
            "constants": {"event": "purchase"},
        },
        "impressions": {"uri": "shop/impressions.parquet", "format": "parquet"},
        "tunes": {"uri": "shop/tunes.csv", "format": "csv"},
    }
    periods = {"holdout_start": "2026-07-01", "end": "2026-10-01"}
    loaded["prepare"] |= {"events": periods, "impressions": periods}
    small = {"epochs": 2, "steps_per_epoch": 4, "batch_size": 16, "threads": 1}
    loaded["train_gan"] |= small | {"width": 8, "latent": 8}
    loaded["train_cnn"] |= small | {"width": 8, "embedding": 8, "backbone": "scratch"}
    loaded["train_lstm"] |= small | {"vocabulary": 300, "hidden": 16, "steps_per_epoch": 30, "learning_rate": 0.02}
    loaded["train_style"]["enabled"] = False  # it needs pretrained weights
    loaded["train_music"] |= small | {"hidden": 16}
    loaded["segment"] |= {"segments_min": 2, "segments_max": 3, "min_segment_size": 5, "bootstraps": 3}
    loaded["recommend"] |= {"models": ["popularity", "neighbours", "factors"]}
    loaded["evaluate"] |= {"threads": 1, "bootstraps": 20, "gan_samples": 100, "lstm_samples": 100, "tunes": 5}
    loaded["evaluate"]["features"] = None
    loaded["gate"]["audience"] = [{"metric": "smallest_segment", "at_least": 5}]
    return loaded


def write_params(folder: Path, values: dict[str, Any]) -> Path:
    """Write params.yaml into a folder."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def _pictures(folder: Path, rng: np.random.Generator, count: int, size: int) -> None:
    for shade, category in enumerate(CATEGORIES):
        (folder / category).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 60, (size, size, 3), np.uint8)
            pixels[size // 4 : 3 * size // 4, shade * size // 4 : (shade + 2) * size // 4, shade] += 180
            Image.fromarray(pixels).save(folder / category / f"{number:03}.png")


def _copy(rng: np.random.Generator) -> pd.DataFrame:
    words = np.array(
        ["warm", "red", "soft", "new", "best", "light", "wool", "summer", "deal", "classic", "true", "blue"]
    )
    lines = [" ".join(rng.choice(words, rng.integers(2, 6))) for _ in range(300)]
    return pd.DataFrame({"line": lines, "department": rng.choice(CATEGORIES, 300)})


def _orders(rng: np.random.Generator, users: int) -> pd.DataFrame:
    loyal = rng.random(users) < 0.5
    rows = [
        (f"customer-{user}", day, round(float(rng.gamma(3, 30 if loyal[user] else 5)), 2))
        for user in range(users)
        for day in rng.integers(0, 270, 12 if loyal[user] else 2)
    ]
    frame = pd.DataFrame(rows, columns=["customer", "day", "total"])
    frame["ordered_at"] = (pd.Timestamp("2026-01-02") + pd.to_timedelta(frame.pop("day"), unit="D")).dt.strftime(
        "%Y-%m-%d"
    )
    return frame.assign(article=[f"article-{number}" for number in _articles(frame["customer"])])


def _articles(customers: pd.Series) -> list[int]:
    """Return the number of each order's article: a customer buys the articles of a circle in order."""
    orders = customers.groupby(customers).cumcount()
    return [(zlib.crc32(name.encode()) + order) % ARTICLES for name, order in zip(customers, orders, strict=True)]


def _impressions(rng: np.random.Generator, pictures: int, users: int) -> pd.DataFrame:
    """Return impressions of two pictures per category, shown at random; hats get the most clicks."""
    count, shown = (
        1600,
        [f"{category}/{number:03}.png" for category in CATEGORIES for number in range(min(2, pictures))],
    )
    creative, placement = rng.integers(0, len(shown), count), rng.choice(["top", "side"], count)
    rate = np.where(creative < len(shown) / len(CATEGORIES), 0.4, 0.1) + 0.05 * (placement == "top")
    shown_at = pd.Timestamp("2026-01-02", tz="UTC") + pd.to_timedelta(np.arange(count) * 4, unit="h")
    return pd.DataFrame(
        {
            "impression_id": [f"i{number}" for number in range(count)],
            "timestamp": shown_at,
            "user_id": [f"customer-{user}" for user in rng.integers(0, users, count)],
            "placement": placement,
            "creative_id": np.array(shown)[creative],
            "clicked": rng.random(count) < rate,
            "propensity": np.full(count, 1 / len(shown)),
            "ctx_device": rng.choice(["phone", "desk"], count),
        }
    )
