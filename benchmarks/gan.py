"""Compare objectives of the picture generator at equal budgets, by judges that share nothing with the training.

    adloom run && python benchmarks/gan.py                         # 60 and 180 seconds, three seeds: two hours
    python benchmarks/gan.py --seconds 600 --pictures 1000 --variants hinge "hinge augmented"

The generator trains on one half of the training pictures. A second reader with another width and seed trains on the
other half and measures agreement; the pretrained features measure distances, precision and recall against the test
pictures. A budget becomes steps by the seconds that a step takes, so keep the machine free. Writes gan_benchmark.json.
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
from adloom.creatives.efficientnet import EfficientNetLite0, embed_pictures, load_efficientnet
from adloom.creatives.gan_module import GanModule, standing_statistics
from adloom.creatives.gan_net import Discriminator, Generator
from adloom.creatives.table import Creatives, CreativeTable
from adloom.stages.creative_rows import open_creatives
from adloom.stages.pretrained import fetch_pretrained
from adloom.tracking.memory import MemoryTracker
from adloom.training import loop

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
    "hinge augmented": {"augmentation": "always"},
}
JUDGE = TrainCnn(epochs=4, steps_per_epoch=200, batch_size=128, learning_rate=0.004, width=24, embedding=48, seed=1234)
DRAWN, REAL = 5000, 5000
CALIBRATION_STEPS = 20


@dataclass(frozen=True)
class Judges:
    """The second reader, and the pretrained features of real pictures."""

    reader: Reader
    net: EfficientNetLite0
    real: Float32Array
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
            predicted = torch.cat([self.reader(batch)[0].argmax(1) for batch in drawn]).numpy()
        features = embed_pictures(self.net, (pictures.to_pixels(batch.numpy()) for batch in drawn))
        hits = [float((predicted == category)[category == number].mean()) for number in range(self.categories)]
        mean, covariance = distances.fit_normal(self.real)
        return {
            "agreement": float(np.mean(hits)),
            "lowest": min(hits),
            "precision": float(distances.in_manifold(features, self.real).mean()),
            "recall": float(distances.in_manifold(self.real, features).mean()),
            "frechet": distances.frechet_distance(features, mean, covariance, np.ones(DRAWN)),
            "kernel": float(distances.kernel_distances(features, self.real).mean()),
        }


def select(table: CreativeTable, rows: Int64Array, categories: list[str]) -> Creatives:
    """Decode rows."""
    return Creatives(table.decode(rows), table.number_categories(rows, categories))


@contextmanager
def memory_session(stage: str) -> Iterator[loop.TrainingSession]:
    """Open a session that leaves nothing behind."""
    draft: Any = None  # a training does not use it
    with tempfile.TemporaryDirectory() as folder, MemoryTracker().start_run(stage, {}, {}) as run:
        yield loop.TrainingSession(stage, draft, run, Path(folder, "checkpoint"), progress=True)


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
        read = [module.net(batch)[0].argmax(1).numpy() for batch, _ in split(test)]
    print(f"the second reader's accuracy: {(np.concatenate(read) == test.category).mean():.3f}")
    return Judges(module.net, net, embed_pictures(net, [test.pixels[:REAL]]), categories)


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

    conditions = np.eye(categories, dtype=np.float32)
    with memory_session("train_gan") as session:
        start = time.perf_counter()
        module, _ = loop.fit(build, PictureDataset(rows.pixels, conditions[rows.category]), params, session)
        seconds = (time.perf_counter() - start) / params.steps_per_epoch
    return standing_statistics(module, torch.eye(categories)), seconds


def compare(rows: Creatives, judges: Judges, params: TrainGan, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a result for each variant, budget and seed."""
    for name in options.variants:
        variant = params.model_copy(update=VARIANTS[name] | {"epochs": 1, "steps_per_epoch": CALIBRATION_STEPS})
        per_step = train(rows, judges.categories, variant)[1]
        for seconds in options.seconds:
            for seed in range(options.seeds):
                update = {"seed": seed, "steps_per_epoch": max(1, round(seconds / per_step))}
                generator, _ = train(rows, judges.categories, variant.model_copy(update=update))
                yield {"variant": name, "seconds": seconds, **update, **judges.measure(generator, params.latent)}


def print_medians(results: Sequence[Mapping[str, Any]]) -> None:
    """Print the median of each metric over the seeds."""
    metrics = ("agreement", "lowest", "precision", "recall", "frechet", "kernel")
    print(f"{'variant':26} {'seconds':>7} {'steps':>6} " + " ".join(f"{name:>9}" for name in metrics))
    for variant, seconds in dict.fromkeys((result["variant"], result["seconds"]) for result in results):
        group = [result for result in results if (result["variant"], result["seconds"]) == (variant, seconds)]
        values = " ".join(f"{median(result[name] for result in group):9.3f}" for name in metrics)
        print(f"{variant:26} {seconds:7} {group[0]['steps_per_epoch']:6} {values}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", nargs="+", type=float, default=[60, 180])
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
