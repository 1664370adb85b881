"""Compare objectives of the picture generator at equal budgets, by judges that share nothing with the training.

    adloom run && python benchmarks/gan.py                         # 60 and 180 seconds, three seeds: two hours
    python benchmarks/gan.py --seconds 600 --pictures 1000 --variants augmented
    python benchmarks/gan.py --steps 1600 --variants bce           # the same budget on every machine

The generator trains on one half of the training pictures. A second reader with another width and seed trains on the
other half; it measures agreement, and in its embeddings precision, recall and Frechet distance against the test
pictures. The Frechet and kernel distances are measured in pretrained features too. Seconds become steps by the time
that a step takes, so keep the machine free. In a project of the preset classic_dcgan the pictures are digits. Writes
gan_benchmark.json.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from adloom.arrays import Float32Array, Int64Array
from adloom.cli.options import load_context
from adloom.config.params import PRETRAINED, TrainCnn, TrainGan
from adloom.creatives import distances, gan_budget, pictures
from adloom.creatives.batches import PictureDataset
from adloom.creatives.cnn_module import ReaderModule
from adloom.creatives.cnn_net import Body, Reader
from adloom.creatives.efficientnet import EfficientNetLite0, embed_textures, load_efficientnet
from adloom.creatives.gan_module import GanModule, standing_statistics
from adloom.creatives.gan_net import Discriminator, Generator
from adloom.creatives.picture_codes import encode_pictures
from adloom.creatives.table import Creatives, CreativeTable
from adloom.stages.creative_rows import open_creatives
from adloom.stages.pretrained import fetch_pretrained
from adloom.tracking.memory import MemoryTracker
from adloom.training import loop
from adloom.training.session import TrainingSession

R3GAN = {"objective": "relativistic", "spectral_norm": False, "gradient_penalty": 0.1, "learning_rate": 0.001}
VARIANTS: dict[str, dict[str, Any]] = {
    "bce": {"objective": "bce"},
    "hinge": {"objective": "hinge"},
    "relativistic": {"objective": "relativistic"},
    "relativistic R1 R2": R3GAN,
    "bce alone": {"objective": "bce", "category_weight": 0},  # without the auxiliary classifier
    "hinge alone": {"objective": "hinge", "category_weight": 0},
    "relativistic alone": {"objective": "relativistic", "category_weight": 0},
    "relativistic R1 R2 alone": R3GAN | {"category_weight": 0},
    "augmented": {"augmentation": "always"},
    "not reconstructed": {"reconstruction": 0},
}
JUDGE = TrainCnn(epochs=4, steps_per_epoch=200, batch_size=128, learning_rate=0.004, width=24, embedding=48, seed=1234)
DRAWN, REAL, EMBEDDED = 5000, 5000, 1500  # pictures; fewer are seen by the pretrained network
CALIBRATION_STEPS = 20


@dataclass(frozen=True)
class Judges:
    """The second reader, the pretrained features, and what both see in real pictures."""

    reader: Reader
    net: EfficientNetLite0
    read: Float32Array  # (real, dimensions), the reader's embeddings
    embedded: Float32Array  # (fewer real, dimensions), pretrained features
    categories: int

    def measure(self, generator: nn.Module, latent: int) -> dict[str, float]:
        """Measure pictures drawn in equal numbers of each category."""
        category = np.arange(DRAWN) % self.categories
        condition, z = torch.eye(self.categories), torch.Generator().manual_seed(1)
        with torch.no_grad():
            drawn = [
                generator(torch.randn(len(part), latent, generator=z), condition[torch.from_numpy(part)])
                for part in np.array_split(category, DRAWN // 100)
            ]
            logits, embedding = map(torch.cat, zip(*map(self.reader, drawn), strict=True))
        hit, features = logits.argmax(1).numpy() == category, embedding.numpy()
        hits = [float(hit[category == number].mean()) for number in range(self.categories)]
        few = pictures.to_pixels(torch.cat(drawn)[: len(self.embedded)].numpy())
        embedded = embed_textures(self.net, np.array_split(few, 10))
        return {
            "agreement": float(np.mean(hits)),
            "lowest": min(hits),
            "precision": float(distances.in_manifold(features, self.read).mean()),
            "recall": float(distances.in_manifold(self.read, features).mean()),
            "frechet": measure_frechet(features, self.read),
            "frechet_2": measure_frechet(embedded, self.embedded),
            "kernel_2": float(distances.kernel_distances(embedded, self.embedded).mean()),
        }


def measure_frechet(drawn: Float32Array, real: Float32Array) -> float:
    """Return the Frechet distance of two sets of features."""
    mean, covariance = distances.fit_normal(real)
    return distances.frechet_distance(drawn, mean, covariance, np.ones(len(drawn)))


def select(table: CreativeTable, rows: Int64Array, categories: list[str]) -> Creatives:
    """Decode rows."""
    return Creatives(table.decode(rows), table.number_categories(rows, categories))


@contextmanager
def memory_session(stage: str) -> Iterator[TrainingSession]:
    """Open a session that leaves nothing behind."""
    draft: Any = None  # a training does not use it
    with tempfile.TemporaryDirectory() as folder, MemoryTracker().start_run(stage, {}, {}) as run:
        yield TrainingSession(stage, draft, run, Path(folder, "checkpoint"), progress=True)


def train_judges(half: Creatives, test: Creatives, net: EfficientNetLite0, categories: int) -> Judges:
    """Train the second reader, print its accuracy, and embed real pictures."""
    channels, size = half.pixels.shape[1:3]
    counts = np.bincount(half.category, minlength=categories)

    def build() -> ReaderModule:
        body = Body(channels, size, JUDGE.width)
        return ReaderModule(Reader(body, body.features, categories, JUDGE.embedding), JUDGE, counts)

    with memory_session("judge") as session:
        module, _ = loop.fit(build, PictureDataset(half.pixels, half.category), JUDGE, session)
    with torch.no_grad():
        logits, embedding = map(torch.cat, zip(*(module.net(batch) for batch, _ in split(test)), strict=True))
    print(f"the second reader's accuracy: {(logits.argmax(1).numpy() == test.category).mean():.3f}", flush=True)
    embedded = embed_textures(net, np.array_split(test.pixels[:EMBEDDED], 10))
    return Judges(module.net, net, embedding[:REAL].numpy(), embedded, categories)


def split(rows: Creatives) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield batches of 500."""
    dataset = PictureDataset(rows.pixels, rows.category)
    return (dataset[numbers] for numbers in loop.split_in_order(len(dataset), 500))


def train(rows: Creatives, categories: int, params: TrainGan) -> tuple[nn.Module, float]:
    """Train a generator; return it and the seconds of a step."""
    channels, size = rows.pixels.shape[1:3]
    params = gan_budget.complete_params(params, len(rows.pixels), channels, size, categories)

    def build() -> GanModule:
        generator = Generator(channels, size, categories, params.width, params.latent)
        discriminator = Discriminator(channels, size, categories, params.width, normalize=params.spectral_norm)
        return GanModule(generator, discriminator, [categories], params)

    conditions, codes = np.eye(categories, dtype=np.float32), []
    if params.reconstruction:
        codes = [encode_pictures([rows.pixels], rows.category, params.latent)]
    with memory_session("train_gan") as session:
        start = time.perf_counter()
        module, _ = loop.fit(build, PictureDataset(rows.pixels, conditions[rows.category], *codes), params, session)
        seconds = (time.perf_counter() - start) / params.steps_per_epoch
    return standing_statistics(module, torch.eye(categories)), seconds


def compare(rows: Creatives, judges: Judges, params: TrainGan, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a result for each variant, budget and seed."""
    for name in options.variants:
        variant = params.model_copy(update=VARIANTS[name] | {"epochs": 1, "steps_per_epoch": CALIBRATION_STEPS})
        budgets = options.steps or count_steps(options.seconds, train(rows, judges.categories, variant)[1])
        for steps in budgets:
            for seed in range(options.seeds):
                update = {"seed": seed, "steps_per_epoch": steps}
                generator, per_step = train(rows, judges.categories, variant.model_copy(update=update))
                result = {"variant": name, "steps": steps, "seed": seed, "seconds": round(steps * per_step)}
                yield result | judges.measure(generator, params.latent)


def count_steps(seconds: Sequence[float], per_step: float) -> list[int]:
    """Return the steps of each budget."""
    return [max(1, round(budget / per_step)) for budget in seconds]


def print_medians(results: Sequence[Mapping[str, Any]]) -> None:
    """Print the median of each metric over the seeds."""
    metrics = ("seconds", "agreement", "lowest", "precision", "recall", "frechet", "frechet_2", "kernel_2")
    print(f"{'variant':26} {'steps':>6} " + " ".join(f"{name:>9}" for name in metrics))
    for variant, steps in dict.fromkeys((result["variant"], result["steps"]) for result in results):
        group = [result for result in results if (result["variant"], result["steps"]) == (variant, steps)]
        values = " ".join(f"{median(result[name] for result in group):9.4f}" for name in metrics)
        print(f"{variant:26} {steps:6} {values}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", nargs="+", type=float, default=[60, 180])
    parser.add_argument("--steps", nargs="+", type=int, help="budgets in steps, instead of seconds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--pictures", type=int, help="train on this many pictures of the half")
    options = parser.parse_args()
    params, context = load_context(Path("params.yaml"))
    table = open_creatives(Path("data/dataset/creatives"))
    categories = table.list_categories()
    rows = np.random.default_rng(0).permutation(table.find_rows("train", categories))
    half, other = np.array_split(rows, 2)
    test = select(table, table.find_test_rows(categories), categories)
    net = load_efficientnet(fetch_pretrained(PRETRAINED, context))
    judges = train_judges(select(table, other, categories), test, net, len(categories))
    results = []
    for result in compare(select(table, half[: options.pictures], categories), judges, params.train_gan, options):
        results.append(result)
        Path("gan_benchmark.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        print(json.dumps(result), flush=True)
    print_medians(results)


if __name__ == "__main__":
    main()
