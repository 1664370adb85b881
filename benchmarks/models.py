"""Every model beside a peer that is easy to have, on the same rows: ours, the peer, the ratio.

    adloom run && python benchmarks/models.py

The reader against a random forest on pixels, the copywriter against a modified Kneser-Ney 5-gram (from its report), the
segments' own rate against gradient boosting on the same features, which segments cannot reach and should come close to.
"""

import json
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score, roc_auc_score

from adloom.arrays import UInt8Array
from adloom.audience.features import compute_features, to_matrix
from adloom.creatives import pictures
from adloom.storage import parquet

TREES = 100
SEED = 7


def metric(model: str, name: str) -> float:
    """Return a number of a model's report."""
    metrics = json.loads(Path("reports", model, "metrics.json").read_text(encoding="utf-8"))
    return float(metrics[name]["value"])


def pixels(split: str) -> tuple[UInt8Array, pd.Series]:
    """Return pictures as rows of pixels (n, channels · height · width), and their categories."""
    rows = parquet.read(Path("data/dataset/creatives"), split, ["image", "category"])
    card = json.loads(Path("models/cnn/card.json").read_text(encoding="utf-8"))["image"]
    decoded = pictures.decode_pngs(list(rows["image"]), card["channels"], card["height"], card["width"])
    return decoded.reshape(len(rows), -1), rows["category"]


def forest() -> float:
    """Return the accuracy of a random forest on the reader's test rows."""
    train, test = pixels("train"), pixels("test")
    model = RandomForestClassifier(TREES, n_jobs=-1, random_state=SEED).fit(*train)
    return float(accuracy_score(test[1], model.predict(test[0])))


def boosting() -> float:
    """Return the AUC of gradient boosting for buying in the holdout period: fitted on half a, judged on half b."""
    rows = parquet.read(Path("data/dataset/events"))
    calibration, holdout = rows[rows["split"] == "calibration"], rows[rows["split"] == "holdout"]
    users = compute_features(calibration, holdout["timestamp"].min().normalize(), "purchase")
    half = rows.groupby("user_id")["half"].first()[users["user_id"]].to_numpy()
    bought, values = users["user_id"].isin(holdout["user_id"]).to_numpy(), to_matrix(users)
    first = half == "a"
    model = HistGradientBoostingClassifier(random_state=SEED).fit(values[first], bought[first])
    return float(roc_auc_score(bought[~first], model.predict_proba(values[~first])[:, 1]))


def main() -> None:
    rows = [
        ("reader: accuracy", metric("cnn", "accuracy"), f"random forest, {TREES} trees", forest()),
        (
            "copywriter: bits per character",
            metric("lstm", "bits_per_character"),
            "Kneser-Ney 5-gram",
            metric("lstm", "kneser_ney_bits_per_character"),
        ),
        ("segments: AUC of their own rate", metric("audience", "segment_rate_auc"), "gradient boosting", boosting()),
    ]
    print(f"{'what':34} {'ours':>7}   {'peer':26} {'theirs':>7} {'ratio':>7}")
    for what, ours, peer, theirs in rows:
        print(f"{what:34} {ours:7.4f}   {peer:26} {theirs:7.4f} {ours / theirs:7.3f}")


if __name__ == "__main__":
    main()
