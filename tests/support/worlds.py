"""A small world of random pictures, and services that its users ask."""

from collections import Counter
from dataclasses import replace

import numpy as np

from adloom.world.adworld import CONFIG, AdWorld, create_adworld
from adloom.world.playing import Decision, RequestBody
from adloom.world.simulator import Config

CATEGORIES = ("Bag", "Coat", "Dress", "Shirt")
SMALL = replace(CONFIG, creatives=6, users=200, bots=2)

EASY = replace(SMALL, rate=0.2, spread=1.2, wear_out=0.0, bots=0, delay_hours=0.05)  # few impressions show the best


def small_world(seed: int = 1, config: Config = SMALL) -> AdWorld:
    """Return a world of 40 pictures, of which 6 run."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    categories = [CATEGORIES[i % 4] for i in range(40)]
    lines = [f"line {'x' * i}" for i in range(30)]
    return create_adworld([f"p-{i:02}" for i in range(40)], categories, pixels, lines, seed, config)


class FixedService:
    """A service that shows one creative to all, and counts what it is told."""

    def __init__(self, creative: str) -> None:
        self.creative = creative
        self.requests: list[RequestBody] = []
        self.feedback: list[RequestBody] = []
        self.decided_before: Counter[str] = Counter()  # feedback: decisions before it

    def decide(self, body: RequestBody) -> Decision:
        self.requests.append(body)
        return Decision(f"{len(self.requests):032x}", self.creative, 1.0, "model")

    def send_feedback(self, body: RequestBody) -> None:
        self.feedback.append(body)
        self.decided_before[body["decision_id"]] = len(self.requests)
