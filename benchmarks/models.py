"""Compare every model with a simple peer on the same rows.

    adloom run && python benchmarks/models.py

The peers are a random forest on pixels, a modified Kneser-Ney 5-gram (from the copywriter's report), and gradient
boosting on the segments' features, which is an upper bound for segments.
"""

import json
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score, roc_auc_score

from adloom.arrays import UInt8Array
from adloom.audience.features import select_features
from adloom.audience.user_table import stack_features
from adloom.creatives import pictures
from adloom.storage import parquet
from adloom.storage.table_scan import hold_rows

TREES = 100
SEED = 7


def read_metric(model: str, name: str) -> float:
    """Return a metric from a model's report."""
    metrics = json.loads(Path("reports", model, "metrics.json").read_text(encoding="utf-8"))
    return float(metrics[name]["value"])


def read_pixels(split: str) -> tuple[UInt8Array, pd.Series]:
    """Return pictures as rows of pixels (n, channels · height · width), and their categories."""
    rows = parquet.read(Path("data/dataset/creatives"), split, ["image", "category"])
    card = json.loads(Path("models/cnn/card.json").read_text(encoding="utf-8"))["image"]
    decoded = pictures.decode_pngs(list(rows["image"]), card["channels"], card["height"], card["width"])
    return decoded.reshape(len(rows), -1), rows["category"]


def measure_forest() -> float:
    """Return the accuracy of a random forest on the reader's test rows."""
    train, test = read_pixels("train"), read_pixels("test")
    model = RandomForestClassifier(TREES, n_jobs=-1, random_state=SEED).fit(*train)
    return float(accuracy_score(test[1], model.predict(test[0])))


def measure_boosting() -> float:
    """Return the AUC of gradient boosting for purchases in the holdout: fit on half a, measure on half b."""
    rows = parquet.read(Path("data/dataset/events"))
    calibration, holdout = rows[rows["split"] == "calibration"], rows[rows["split"] == "holdout"]
    features = (
        select_features(hold_rows(calibration), holdout["timestamp"].min().normalize(), "purchase")
        .to_pyarrow()
        .to_pandas()
    )
    users, values = features["user_id"], stack_features(features)
    half = rows.groupby("user_id")["half"].first()[users].to_numpy()
    bought = users.isin(holdout["user_id"]).to_numpy()
    first = half == "a"
    model = HistGradientBoostingClassifier(random_state=SEED).fit(values[first], bought[first])
    return float(roc_auc_score(bought[~first], model.predict_proba(values[~first])[:, 1]))


def main() -> None:
    rows = [
        ("reader: accuracy", read_metric("cnn", "accuracy"), f"random forest, {TREES} trees", measure_forest()),
        (
            "copywriter: bits per character",
            read_metric("lstm", "bits_per_character"),
            "Kneser-Ney 5-gram",
            read_metric("lstm", "kneser_ney_bits_per_character"),
        ),
        (
            "segments: AUC of their own rate",
            read_metric("audience", "segment_rate_auc"),
            "gradient boosting",
            measure_boosting(),
        ),
    ]
    print(f"{'metric':34} {'ours':>7}   {'peer':26} {'theirs':>7} {'ratio':>7}")
    for name, ours, peer, theirs in rows:
        print(f"{name:34} {ours:7.4f}   {peer:26} {theirs:7.4f} {ours / theirs:7.3f}")


if __name__ == "__main__":
    main()
