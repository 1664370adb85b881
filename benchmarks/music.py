"""
Bits per note of the composer against Kneser-Ney of several orders, in one run on the same tunes.

    python benchmarks/music.py [--model models/music] [--table data/dataset/tunes]
"""

import argparse
from pathlib import Path

import numpy as np

from adloom.evaluation.intervals import bootstrap
from adloom.music import vocabulary
from adloom.music.abc_notation import parse_abc
from adloom.music.evaluation import score_tunes
from adloom.music.runs import collect_runs, has_known_run
from adloom.onnx_models.runtime import Composer
from adloom.storage import parquet

ORDERS = (3, 4, 5, 6, 7)


def main() -> None:
    """Print a row per order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/music"))
    parser.add_argument("--table", type=Path, default=Path("data/dataset/tunes"))
    arguments = parser.parse_args()
    notes = vocabulary.from_json((arguments.model / "vocabulary.json").read_text(encoding="utf-8"))
    train, test = (
        [parse_abc(text) for text in parquet.read(arguments.table, split)["notation"]] for split in ("train", "test")
    )
    known = collect_runs([tune.notes for tune in train])
    new = [tune for tune in test if not has_known_run(tune.notes, known)]
    print(f"{len(train)} tunes train, {len(test)} test, of which {len(new)} share no 16 notes with a training tune")
    print("order  LSTM bits  Kneser-Ney bits  ratio [95 %]          ratio, new tunes only")
    for order in ORDERS:
        samples = score_tunes(Composer(arguments.model, 1), notes, train, test, order)
        ratio = bootstrap(samples["note_bits_ratio"], 500, 7)
        ours, theirs, alone = (
            sample.statistic(*sample.columns, np.ones(sample.rows))
            for sample in (
                samples["bits_per_note"],
                samples["kneser_ney_bits_per_note"],
                score_tunes(Composer(arguments.model, 1), notes, train, new, order)["note_bits_ratio"],
            )
        )
        interval = f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
        print(f"{order:5}  {ours:9.3f}  {theirs:15.3f}  {interval:20}  {alone:.3f}")


if __name__ == "__main__":
    main()
