"""The world as a whole: users who buy, creatives that run, and impressions of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adloom.arrays import AnyArray, UInt8Array
from adloom.world.creatives import Creatives, choose_running, combine, draw_appeal, draw_taste
from adloom.world.purchases import SEGMENTS, Purchases, draw_purchases
from adloom.world.simulator import Config, World

CONFIG = Config(
    rate=0.05,
    segments=SEGMENTS,
    placements=2,
    creatives=12,
    users=5000,
    spread=0.8,
    wear_out=0.01,
    drift=0.2,
    daily=0.3,
    delay_hours=0.5,
    per_hour=250.0,
    bots=25,
    bot_share=0.02,
    conversion=0.1,
)


@dataclass(frozen=True)
class AdWorld:
    """A world with its creatives and its users' purchases."""

    world: World
    creatives: Creatives  # all pictures
    running: Creatives  # the candidates, in the order of the world's actions
    purchases: Purchases
    taste: Mapping[str, AnyArray]  # by category: how much each segment likes it (segments,)


def create_adworld(
    ids: Sequence[str],
    categories: Sequence[str],
    pixels: UInt8Array,
    lines: Sequence[str],
    seed: int,
    config: Config = CONFIG,
) -> AdWorld:
    """Create the world of a seed from pictures (pictures, height, width) and lines."""
    everything = combine(ids, categories, pixels, lines, seed)
    running = everything.select(choose_running(everything, config.creatives, seed))
    config = replace(config, creatives=len(running.ids))
    purchases = draw_purchases(config.users, seed)
    taste = draw_taste(everything.categories, config.segments, seed)
    appeal = draw_appeal(running, taste, config.placements, config.spread, seed)
    return AdWorld(World(config, seed, appeal, purchases.segment_of), everything, running, purchases, taste)
