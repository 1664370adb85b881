"""
The reader against classical classifiers, on the test pictures of a project, and of few colour pictures by backbone.

    python benchmarks/reader.py [FOLDER]
    python benchmarks/reader.py --few 5

FOLDER is a project in which `adloom run` has trained models/cnn. The test split is only read here: compare trainings on
the validation split, whose curves are in models/cnn/history.json.

With --few, each draw of the icons of Twemoji trains on 20 pictures of each kind with the params of FOLDER, calibrates
on 2 and tests on the others, up to 20. The kinds are the ten largest subcategories without those of people, whose women
and men differ in few pixels. Pictures and pretrained weights are downloaded.
"""

import argparse
import base64
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from adloom.arrays import AnyArray
from adloom.cli.options import load_context
from adloom.config.params import TrainCnn, load
from adloom.context import StageContext
from adloom.creatives.pictures import to_floats
from adloom.creatives.table import Creatives
from adloom.data.pictures import PictureFormat, decode
from adloom.evaluation.metric import Metric
from adloom.stages.measure import measure
from adloom.stages.reader_candidates import Backbone, TrainingPictures, train_best
from adloom.tracking.memory import MemoryTracker
from adloom.training.session import TrainingSession

ROWS = {
    "accuracy": "accuracy",
    "random forest": "random_forest_accuracy",
    "logistic regression": "logistic_regression_accuracy",
    "calibration error": "ece",
    "recall@1 by category": "recall_at_1",
    "near-duplicates found": "near_duplicates",
}
KINDS, TRAIN, VALIDATION, TEST = 10, 20, 2, 20  # pictures of each kind
EDGE = 64
BACKBONES: tuple[Backbone, ...] = ("efficientnet_lite0", "scratch")


def describe(metrics: dict[str, Metric]) -> list[str]:
    """Return the lines of the table; the ratio is the reader's accuracy divided by the baseline's."""
    accuracy = metrics["accuracy"].value
    lines = [f"| {'metric':22} | value  | 95 %            | ratio |", "|---|---|---|---|"]
    for title, name in ((title, name) for title, name in ROWS.items() if name in metrics):  # older readers lack some
        metric = metrics[name]
        ratio = f"{accuracy / metric.value:.3f}" if name.endswith("_accuracy") else ""
        lines.append(f"| {title:22} | {metric.value:.4f} | {metric.low:.4f} … {metric.high:.4f} | {ratio:5} |")
    return lines


def read_icons(context: StageContext) -> Creatives:
    """Return the icons of the largest kinds."""
    icons = pd.read_csv(context.store.fetch("twemoji", context.home) / "twemoji.csv")
    icons = icons[icons["category"] != "People & Body"]
    kinds = sorted(icons["subcategory"].value_counts().sort_index().sort_values(kind="stable").index[-KINDS:])
    icons = icons[icons["subcategory"].isin(kinds)]
    pngs = [base64.b64decode(image.partition(",")[2]) for image in icons["image"]]
    pixels = np.stack([decode(png, PictureFormat(EDGE, 3), EDGE**2) for png in pngs]).transpose(0, 3, 1, 2)
    print(f"{len(icons)} icons of {', '.join(kinds)}", flush=True)
    return Creatives(np.ascontiguousarray(pixels), icons["subcategory"].map(kinds.index).to_numpy())


def draw_split(icons: Creatives, seed: int) -> Iterator[Creatives]:
    """Yield the pictures of training, validation and test, equally many of each kind in the first two."""
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(icons.category == kind)) for kind in range(KINDS)]
    first = 0
    for number in (TRAIN, VALIDATION, TEST):
        chosen = np.concatenate([each[first : first + number] for each in rows])
        yield Creatives(icons.pixels[chosen], icons.category[chosen])
        first += number


def train_few(icons: Creatives, seed: int, params: TrainCnn, context: StageContext) -> float:
    """Return the accuracy of a reader of few pictures."""
    train, validation, test = draw_split(icons, seed)
    pictures = TrainingPictures(train, validation, np.empty((len(train), 0), np.float32), KINDS, ())
    draft: Any = None  # a training does not use it
    with tempfile.TemporaryDirectory() as folder, MemoryTracker().start_run("train_cnn", {}, {}) as run:
        session = TrainingSession("train_cnn", draft, run, Path(folder, "checkpoint"), progress=False)
        net = train_best(pictures, params, session, context).net
    with torch.no_grad():
        logits = np.concatenate([net(torch.from_numpy(to_floats(batch)))[0].numpy() for batch in test.split_batches()])
    return float((logits.argmax(1) == test.category).mean())


def describe_draws(accuracies: AnyArray) -> str:
    """Return the mean of draws with Student's 95 % interval."""
    margin = stats.t.ppf(0.975, len(accuracies) - 1) * stats.sem(accuracies)
    return f"{accuracies.mean():.3f} | {accuracies.mean() - margin:.3f} … {accuracies.mean() + margin:.3f}"


def compare_backbones(draws: int, params: TrainCnn, context: StageContext) -> None:
    """Print the accuracy of each backbone over draws of few pictures."""
    icons = read_icons(context)
    print("| backbone | accuracy | 95 % | each draw |\n|---|---|---|---|")
    for backbone in BACKBONES:
        own = [params.model_copy(update={"backbone": backbone, "seed": seed}) for seed in range(draws)]
        accuracies = np.array([train_few(icons, each.seed, each, context) for each in own])
        each_draw = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        print(f"| {backbone} | {describe_draws(accuracies)} | {each_draw} |", flush=True)


def compare_classifiers(folder: Path) -> None:
    """Print the metrics of a project's reader and of classical classifiers."""
    start = time.process_time()
    model, table = folder / "models/cnn", folder / "data/dataset/creatives"
    evaluation = measure(model, table, model, load(folder / "params.yaml").evaluate)
    print("\n".join(describe(dict(evaluation.metrics))))
    print(f"measured in {time.process_time() - start:.0f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    parser.add_argument("--few", type=int, metavar="DRAWS", help="draws of few colour pictures, at least 2")
    options = parser.parse_args()
    if options.few:
        params, context = load_context(options.folder / "params.yaml")
        compare_backbones(options.few, params.train_cnn, context)
    else:
        compare_classifiers(options.folder)


if __name__ == "__main__":
    main()
