"""The tables of the world: creatives, copy, events and impressions that join."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image

from adloom.arrays import AnyArray, Int64Array
from adloom.world.adworld import AdWorld
from adloom.world.purchases import WEEKS
from adloom.world.simulator import START

IMPRESSIONS = 60_000  # of uniform decisions, ten days from START
EVENTS_START = START - pd.Timedelta(weeks=WEEKS)


def build_tables(adworld: AdWorld, seed: int, impressions: int = IMPRESSIONS) -> dict[str, pd.DataFrame]:
    """Return the tables by name; the world goes on by these impressions."""
    return {
        "creatives": _build_creatives(adworld),
        "copy": pd.DataFrame({"text": adworld.creatives.lines}).drop_duplicates(),
        "events": _build_events(adworld, seed),
        "impressions": _build_impressions(adworld, impressions),
    }


def name_users(numbers: Int64Array) -> list[str]:
    """Return the ids of users."""
    return [f"u{number:05}" for number in numbers.tolist()]


def _build_creatives(adworld: AdWorld) -> pd.DataFrame:
    creatives = adworld.creatives
    images = [_encode_picture(pixels) for pixels in creatives.pixels]
    columns: dict[str, Sequence[str]] = {
        "creative_id": creatives.ids,
        "category": creatives.categories,
        "image": images,
        "text": creatives.lines,
    }
    return pd.DataFrame(columns)


def _build_events(adworld: AdWorld, seed: int) -> pd.DataFrame:
    purchases = adworld.purchases
    return pd.DataFrame(
        {
            "user_id": name_users(purchases.user),
            "timestamp": (EVENTS_START + pd.to_timedelta(purchases.week * 7, "D")).round("s"),
            "event": "purchase",
            "item_id": _choose_items(adworld, seed),
            "value": purchases.value,
        }
    )


def _choose_items(adworld: AdWorld, seed: int) -> list[str]:
    """Return the picture that each purchase bought: of a category that the user's segment likes, at random."""
    rng, purchases, taste = np.random.default_rng([seed, 6]), adworld.purchases, adworld.taste
    likes = np.exp(np.stack(list(taste.values()), 1))  # (segments, categories)
    chances = (likes / likes.sum(1, keepdims=True))[purchases.segment_of[purchases.user]]
    drawn = (chances.cumsum(1) <= rng.random((len(chances), 1))).sum(1).clip(max=len(taste) - 1)
    categories = np.array(adworld.creatives.categories)
    members = [np.flatnonzero(categories == name) for name in taste]
    share = rng.random(len(drawn))
    return [adworld.creatives.ids[members[c][int(u * len(members[c]))]] for c, u in zip(drawn, share, strict=True)]


def _build_impressions(adworld: AdWorld, rows: int) -> pd.DataFrame:
    log = adworld.world.log(lambda contexts: contexts.uniform, rows)
    frame = log.frame("uniform", adworld.running.ids)
    frame["user_id"] = name_users(log.contexts.user)
    frame["candidates"] = frame["candidates"].str.join("|")
    return frame.rename(columns={"ctx_segment": "ctx_interest"})


def _encode_picture(pixels: AnyArray) -> str:
    """Return a PNG as a data URI, uncompressed: the bytes of compression depend on its library."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
