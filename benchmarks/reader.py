"""
The reader against classical classifiers, on the test pictures of a project.

    python benchmarks/reader.py [FOLDER]

FOLDER is a project in which `adloom run` has trained models/cnn. The test split is only read here: compare trainings on
the validation split, whose curves are in models/cnn/history.json.
"""

import sys
import time
from pathlib import Path

from adloom.config.params import load
from adloom.evaluation.metric import Metric
from adloom.stages.measure import measure

ROWS = {
    "accuracy": "accuracy",
    "random forest": "random_forest_accuracy",
    "logistic regression": "logistic_regression_accuracy",
    "calibration error": "ece",
    "recall@1 by category": "recall_at_1",
    "near-duplicates found": "near_duplicates",
}


def describe(metrics: dict[str, Metric]) -> list[str]:
    """Return the lines of the table; the ratio is the reader's accuracy divided by the baseline's."""
    accuracy = metrics["accuracy"].value
    lines = [f"| {'metric':22} | value  | 95 %            | ratio |", "|---|---|---|---|"]
    for title, name in ((title, name) for title, name in ROWS.items() if name in metrics):  # older readers lack some
        metric = metrics[name]
        ratio = f"{accuracy / metric.value:.3f}" if name.endswith("_accuracy") else ""
        lines.append(f"| {title:22} | {metric.value:.4f} | {metric.low:.4f} … {metric.high:.4f} | {ratio:5} |")
    return lines


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    start = time.process_time()
    model, table = folder / "models/cnn", folder / "data/dataset/creatives"
    evaluation = measure(model, table, model, load(folder / "params.yaml").evaluate)
    print("\n".join(describe(dict(evaluation.metrics))))
    print(f"measured in {time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
