"""The generator's metrics by hand, and its evaluation on pictures of known faults."""

import numpy as np
import pandas as pd
import pytest
from tests.support import landscapes
from tests.support.painted_pictures import as_table
from tests.support.params_files import SHIPPED
from tests.unit.creatives.test_cnn_evaluation import read

from adloom.arrays import Float32Array, Int64Array, UInt8Array
from adloom.config.params import Evaluate, load
from adloom.creatives import gan_evaluation, pictures
from adloom.creatives.conditions import ConditionSpace
from adloom.creatives.gan_evaluation import Judges
from adloom.errors import DataError
from adloom.evaluation.gate import decide
from adloom.evaluation.metric import Figure, Lines, Metric, Table

PARAMS = Evaluate(bootstraps=50, threads=1, gan_samples=200)
CATEGORIES = ["dark", "light"]
SPACE = ConditionSpace(CATEGORIES)
HISTORY = {"generator_loss": [[1.0, 0.5], [2.0, 0.4]]}
RNG = np.random.default_rng(0)


def shades(category: Int64Array) -> UInt8Array:
    """Dark and light pictures, no two alike."""
    centre = np.where(category == 0, 60, 190)[:, None, None, None]
    return np.clip(centre + RNG.normal(0, 30, (len(category), 1, 28, 28)), 0, 255).astype(np.uint8)


def table(train: int = 200, test: int = 100) -> pd.DataFrame:
    category = np.arange(train + test) % 2
    return pd.DataFrame(
        {
            "category": np.array(CATEGORIES)[category],
            "split": ["train"] * train + ["test"] * test,
            "image": pictures.encode_pngs(shades(category)),
            "width": 28,
            "height": 28,
            "channels": 1,
        }
    )


class Painter:
    """Draws new pictures of a category; the first `copied` are training pictures, those of `lazy` show another one."""

    latent = 3

    def __init__(self, rows: pd.DataFrame, copied: int = 0, lazy: int | None = None) -> None:
        self.copied, self.lazy = copied, lazy
        train = rows[rows["split"] == "train"]
        self.known = pictures.decode_pngs(train["image"].tolist(), 1, 28, 28)[::2]  # the dark ones

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        category = condition.argmax(1)
        drawn = shades(np.where(category == self.lazy, 1 - category, category))
        drawn[: self.copied] = self.known[: self.copied]
        return pictures.to_floats(drawn)


ROWS = table()


READER = Judges(read)


def evaluate(painter: Painter, rows: pd.DataFrame = ROWS) -> dict[str, float]:
    evaluation = gan_evaluation.evaluate(painter, READER, as_table(rows), SPACE, PARAMS, HISTORY)
    assert set(evaluation.samples) == set(evaluation.metrics)
    assert all(section.png.startswith(b"\x89PNG") for section in evaluation.sections if isinstance(section, Figure))
    return {name: metric.value for name, metric in evaluation.metrics.items()}


@pytest.mark.slow
def test_a_good_generator() -> None:
    values = evaluate(Painter(ROWS))
    assert set(values) == {
        "agreement", "agreement_lowest", "agreement.dark", "agreement.light", "copies", "nearest_distance",
        "frechet_distance", "kernel_distance", "precision", "recall", "repeats", "canary_recall",
    }  # fmt: skip
    assert values["agreement"] == values["agreement_lowest"] == 1
    assert values["copies"] <= 0.03  # the threshold of a hundred test pictures is loose
    assert values["frechet_distance"] < 0.01
    assert min(values["precision"], values["recall"]) > 0.9


@pytest.mark.slow
def test_many_test_pictures_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan_evaluation, "TESTED", 50)
    evaluation = gan_evaluation.evaluate(Painter(ROWS), READER, as_table(ROWS), SPACE, PARAMS, HISTORY)
    assert evaluation.metrics["recall"].n == 50  # of 100


@pytest.mark.slow
def test_planted_copies_are_counted() -> None:
    evaluation = gan_evaluation.evaluate(Painter(ROWS, copied=6), READER, as_table(ROWS), SPACE, PARAMS, HISTORY)
    [copied] = evaluation.samples["copies"].columns
    assert copied[:6].all()
    assert copied[6:].mean() <= 0.03


@pytest.mark.slow
def test_a_category_without_agreement_is_reported() -> None:
    values = evaluate(Painter(ROWS, lazy=1))
    assert (values["agreement"], values["agreement_lowest"]) == (0.5, 0)
    assert (values["agreement.dark"], values["agreement.light"]) == (1, 0)
    assert values["frechet_distance"] > 0.1
    assert values["recall"] < 0.6


@pytest.mark.slow
def test_without_a_reader_only_copies_are_measured() -> None:
    evaluation = gan_evaluation.evaluate(Painter(ROWS), Judges(), as_table(ROWS), SPACE, PARAMS, HISTORY)
    assert set(evaluation.metrics) == {"copies", "nearest_distance", "canary_recall", "repeats"}
    assert not any(isinstance(section, Table) for section in evaluation.sections)


@pytest.fixture(scope="module")
def fakes() -> dict[str, dict[str, float]]:
    """The metrics of three bad generators, and of one that paints new pictures."""
    known = landscapes.read(pictures.to_floats(landscapes.decode("train"))).embedding
    judges, space = Judges(landscapes.read, known, landscapes.embed), ConditionSpace(landscapes.CATEGORIES)
    table = as_table(landscapes.rows())
    kinds = ("noise", "constant", "memorised", "new")
    evaluations = {
        kind: gan_evaluation.evaluate(landscapes.Fake(kind), judges, table, space, PARAMS, HISTORY) for kind in kinds
    }
    return {kind: {name: m.value for name, m in found.metrics.items()} for kind, found in evaluations.items()}


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["agreement", "agreement_lowest", "second_agreement", "precision", "recall"])
def test_bad_generators_score_near_zero_where_more_is_better(fakes: dict[str, dict[str, float]], metric: str) -> None:
    assert fakes["noise"][metric] == fakes["constant"][metric] == 0
    assert fakes["memorised"][metric] < 0.1
    assert fakes["new"][metric] > 0.75


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["frechet_distance", "kernel_distance"])
def test_distances_put_bad_generators_in_order(fakes: dict[str, dict[str, float]], metric: str) -> None:
    assert fakes["new"][metric] < fakes["memorised"][metric] / 5
    assert fakes["memorised"][metric] < min(fakes["noise"][metric], fakes["constant"][metric])


@pytest.mark.slow
def test_each_fault_has_a_metric_that_names_it(fakes: dict[str, dict[str, float]]) -> None:
    assert fakes["noise"]["outliers"] == fakes["constant"]["outliers"] == 1
    assert fakes["constant"]["repeats"] >= 0.99
    assert fakes["memorised"]["repeats"] >= 0.98
    assert fakes["memorised"]["copies"] == 1
    assert fakes["memorised"]["ct_statistic"] < -3 < fakes["new"]["ct_statistic"]
    assert max(fakes["new"][name] for name in ("outliers", "repeats", "copies")) <= 0.02


@pytest.mark.slow
def test_planted_canaries_are_found_and_new_pictures_are_not(fakes: dict[str, dict[str, float]]) -> None:
    assert all(values["canary_recall"] >= 0.99 for values in fakes.values())
    assert all(values["false_copies"] <= 0.01 for values in fakes.values())


@pytest.mark.slow
def test_a_memorising_generator_is_rejected_whatever_it_looks_like(fakes: dict[str, dict[str, float]]) -> None:
    rules = load(SHIPPED).gate.rules("gan")
    metrics = {name: Metric(value, value, value, 200, "share") for name, value in fakes["memorised"].items()}
    rejected = {reason.metric for reason in decide(metrics, None, rules).reasons if reason.verdict == "reject"}
    assert {"copies", "ct_statistic"} <= rejected
    blind = {**metrics, "copies": Metric(0, 0, 0, 200, "share"), "canary_recall": Metric(0.5, 0.5, 0.5, 200, "share")}
    assert "canary_recall" in {r.metric for r in decide(blind, None, rules).reasons if r.verdict == "reject"}


@pytest.mark.slow
def test_small_categories_are_named_and_do_not_count_for_the_lowest() -> None:
    light = (ROWS["category"] == "light") & (ROWS["split"] == "train")
    few = ROWS.drop(ROWS.index[light][9:])
    evaluation = gan_evaluation.evaluate(Painter(ROWS, lazy=1), READER, as_table(few), SPACE, PARAMS, HISTORY)
    assert evaluation.metrics["agreement.light"].value == 0
    assert evaluation.metrics["agreement_lowest"].value == evaluation.metrics["agreement.dark"].value == 1
    assert [section.lines for section in evaluation.sections if isinstance(section, Lines)] == [["light: 9"]]


def test_without_test_pictures_nothing_is_measured() -> None:
    with pytest.raises(DataError, match="0 pictures in split test, expected at least 1"):
        evaluate(Painter(ROWS), ROWS[ROWS["split"] == "train"])


def test_every_category_is_generated_in_the_training_mix() -> None:
    category = np.repeat([0, 1, 2], [75, 24, 1])
    assert np.bincount(gan_evaluation.choose_categories(category, 3, 1000)).tolist() == [
        750,
        240,
        gan_evaluation.MIN_PER_CATEGORY,
    ]


def test_statistics_by_hand() -> None:
    category, hit = np.array([0, 0, 1, 1]), np.array([True, True, True, False])
    assert gan_evaluation.lowest_share(category, hit, np.ones(4)) == 0.5
    assert gan_evaluation.lowest_share(category, hit, np.array([1, 0, 1, 0])) == 1
    assert gan_evaluation.lowest_share(np.array([0, 0, -1, -1]), hit, np.ones(4)) == 1
    assert np.isnan(gan_evaluation.lowest_share(np.array([-1]), np.array([True]), np.ones(1)))
    assert gan_evaluation.spread_rows(np.arange(10, 20), 4).tolist() == [10, 13, 16, 19]
    assert gan_evaluation.spread_rows(np.arange(3), 4).tolist() == [0, 1, 2]
    assert gan_evaluation.weighted_median(np.array([3.0, 1.0, 2.0]), np.ones(3)) == 2
    assert gan_evaluation.weighted_median(np.array([3.0, 1.0, 2.0]), np.array([9, 1, 1])) == 3
