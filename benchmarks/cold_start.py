"""Compare scores of new creatives by their regret in the simulator: content model, nearest pictures, category alone.

    python benchmarks/cold_start.py [--real models/cnn]

Click rates depend on features of the creatives to a known share. A policy learns from a uniform log of the known
creatives. Each new creative then competes with seven known ones for 1,000 impressions without learning; the regret is
the clicks lost against always showing the best. Ratios are paired over worlds; the interval is one of t.

--real compares features of real creatives instead: pictures of Fashion-MNIST with titles of clothing reviews. The click
rate depends on the rating of the title's review, which no feature has seen, on the picture's class, of which the
category is a coarse part, and on chance. The reader in the folder should know the coarse categories only. Then it
predicts the ratings themselves from known titles.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.feature_extraction.text import TfidfVectorizer

from adloom.arrays import AnyArray, Float64Array
from adloom.catalogue.formats import read_world_parts
from adloom.config.settings import Settings
from adloom.context import StageContext, build_context
from adloom.creatives.efficientnet import embed_pictures, load_efficientnet
from adloom.creatives.inference import read_pictures
from adloom.data import contracts
from adloom.onnx_models.runtime import Reader
from adloom.policy import models
from adloom.policy.cold_start import add_cold_start
from adloom.policy.content_model import Contents, join_features
from adloom.policy.fit import fit_content
from adloom.policy.impressions import read_impressions
from adloom.policy.models import Categories
from adloom.policy.scorer import Policy
from adloom.stages.pretrained import fetch_pretrained
from adloom.stages.text_embeddings import embed_texts
from adloom.world.simulator import Config, World, creative_id

WORLDS, NEW, RIVALS, IMPRESSIONS = 8, 50, 7, 1000
SIZES = ((30, 60_000), (100, 60_000))  # known creatives, impressions of the log
CONTENT = (0.0, 0.5, 0.8)
TEMPERATURE, FLOOR = 0.2, 0.01
NEIGHBOURS = 10


REAL = 2000  # pictures and titles
DRAWS = 20  # of known titles
REAL_RATE, REAL_IMPRESSIONS = 0.05, 600  # click rate, and impressions of a known creative
SHARES = {"category": 0.2, "class": 0.2, "title": 0.4, "own": 0.2}  # of the variance of log click rates
COARSE = {
    "T-shirt/top": "top", "Pullover": "top", "Coat": "top", "Shirt": "top", "Dress": "long", "Trouser": "long",
    "Sandal": "shoe", "Sneaker": "shoe", "Ankle boot": "shoe", "Bag": "bag",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, metavar="READER", help="compare features of real creatives")
    options = parser.parse_args()
    if options.real:
        compare_real_features(options.real)
    else:
        compare_models()


def compare_models() -> None:
    names = ("category", "nearest", "content model", "true rates")
    print("known     log content", *(f"{name:>13}" for name in names), " content model / category")
    for known, rows in SIZES:
        for content in CONTENT:
            config = configure(known, content)
            regrets = np.array([measure(config, known, rows, seed) for seed in range(WORLDS)])
            ratio = regrets[:, 2] / regrets[:, 0]
            error = stats.t.ppf(0.975, WORLDS - 1) * stats.sem(ratio)
            means = " ".join(f"{value:13.2f}" for value in regrets.mean(0))
            print(f"{known:5} {rows:7,} {content:7.1f} {means}  {ratio.mean():.3f} ± {error:.3f}", flush=True)


def configure(known: int, content: float = 0.0) -> Config:
    return Config(rate=0.02, segments=1, placements=1, creatives=known + NEW, wear_out=0.0, drift=0.0, content=content)


def compare_real_features(reader: Path) -> None:
    context = build_context(Settings(quiet=True), "benchmark")
    table, pixels = read_real(context)
    features = dict(describe(table, pixels, reader, context))
    predict_ratings(table, {name: values for name, values in features.items() if "picture" not in name})
    for known in (30, 100, 300):
        worlds = [measure_real(table, features, known, seed) for seed in range(WORLDS)]
        print(f"{known} known creatives: clicks lost in {IMPRESSIONS} impressions, and relative to category alone")
        for name in worlds[0]:
            lost = np.array([world[name] for world in worlds])
            ratio = lost / np.array([world["category"] for world in worlds])
            error = stats.t.ppf(0.975, WORLDS - 1) * stats.sem(ratio)
            print(f"  {name:32} {lost.mean():6.2f}  {ratio.mean():.3f} ± {error:.3f}", flush=True)


def read_real(context: StageContext) -> tuple[pd.DataFrame, AnyArray]:
    """Return distinct titles of three words or more with their mean ratings, each with a picture."""
    folders = [context.store.fetch(name, context.home) for name in ("fashion-mnist", "clothing-reviews")]
    files = {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}
    _, classes, pixels, _ = read_world_parts(files)
    reviews = pd.read_csv(folders[1] / "reviews.csv").dropna(subset="title")
    titles = reviews.assign(key=reviews["title"].str.strip().str.casefold()).groupby("key")
    table = titles.agg(title=("title", "first"), rating=("rating", "mean"))
    table = table[table["title"].str.count(r"\w+") >= 3].sample(REAL, random_state=0).reset_index(drop=True)
    table["class"] = classes[:REAL]
    return table.assign(category=table["class"].map(COARSE)), pixels[:REAL, None]


def describe(
    table: pd.DataFrame, pixels: AnyArray, reader: Path, context: StageContext
) -> Iterator[tuple[str, AnyArray]]:
    """Yield features of creatives (creatives, features) by name."""
    titles, nothing = table["title"].tolist(), np.zeros((REAL, 0))
    sentences, _ = embed_texts(titles, "all-minilm-l6-v2", context)
    net = load_efficientnet(fetch_pretrained("efficientnet-lite0", context))
    own = read_pictures(Reader(reader, 1), [pixels])[1]
    general = embed_pictures(net, [pixels])
    general -= general.mean(0)
    general /= np.linalg.norm(general, axis=1, keepdims=True)
    yield "words", join_features(nothing, titles)
    yield "TF-IDF", TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True).fit_transform(titles).toarray()
    yield "sentences", np.array(sentences)
    yield "sentences, words", join_features(nothing, titles, sentences)
    yield "picture by the reader", own
    yield "picture by EfficientNet", general
    yield "reader's picture, words", join_features(own, titles)
    yield "reader's picture, sentences, words", join_features(own, titles, sentences)
    yield "EfficientNet's picture, sentences, words", join_features(general, titles, sentences)


def predict_ratings(table: pd.DataFrame, features: dict[str, AnyArray]) -> None:
    """Print the AUC of predicted ratings, and their correlation with the true ones, on titles that are not known."""
    rating = ((table["rating"] - table["rating"].mean()) / table["rating"].std()).to_numpy()
    for known in (30, 100, 300, 1000):
        for name, values in features.items():
            results = np.array([predict(values, rating, known, seed) for seed in range(DRAWS)])
            auc, correlation, explained = results.T
            print(f"{known:4} known titles, {name:20} AUC {auc.mean():.3f}, correlation {correlation.mean():.2f}, "
                  f"variance explained {explained.mean():.2f}, at worst {explained.min():.2f}", flush=True)  # fmt: skip


def predict(features: AnyArray, rating: AnyArray, known: int, seed: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rating))
    early, late = order[:known], order[-600:]
    noisy = rating[early] + 0.7 * rng.normal(size=known)
    model = fit_content(np.zeros(known, np.int64), features[early], noisy - noisy.mean(), 1)
    scores, truth = model.score(np.zeros(len(late), np.int64), features[late]), rating[late]
    is_good = truth >= np.median(rating)
    auc = stats.mannwhitneyu(scores[is_good], scores[~is_good]).statistic / (is_good.sum() * (~is_good).sum())
    explained = 1 - np.mean((scores - truth + truth.mean()) ** 2) / truth.var()
    return float(auc), float(np.corrcoef(scores, truth)[0, 1]) if scores.std() > 0 else 0.0, float(explained)


def measure_real(table: pd.DataFrame, features: dict[str, AnyArray], known: int, seed: int) -> dict[str, float]:
    """Return the mean regret per new creative by the features of its score."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(REAL, known + NEW, replace=False)
    rows = table.iloc[chosen]
    config = replace(configure(known), rate=REAL_RATE)
    parts = {
        "category": rows["category"].map(dict(zip(COARSE.values(), rng.normal(size=len(COARSE)), strict=True))),
        "class": rows["class"].map(dict(zip(COARSE, rng.normal(size=len(COARSE)), strict=True))),
        "title": rows["rating"],
        "own": pd.Series(rng.normal(size=len(rows))),
    }
    appeal = sum(SHARES[name] ** 0.5 * (part - part.mean()).to_numpy() / part.std() for name, part in parts.items())
    world = World(config, seed, config.spread * np.asarray(appeal)[None, None])
    policy = fit(world, known, REAL_IMPRESSIONS * known, tuple(rows["category"][:known]))
    own, rates = score_known(policy, known), world.rates[0, 0]
    ids = np.array([creative_id(i) for i in range(known + NEW)])
    category = rows["category"].to_numpy(str)
    results = {"category": np.zeros((known + NEW, 1))} | {name: each[chosen] for name, each in features.items()}
    lost = {}
    for name, values in results.items():
        wider = add_cold_start(policy, Contents(ids, category, values))
        new = wider.bias[[wider.creatives.index(each) for each in ids[known:]]].astype(np.float64)
        lost[name] = lose_clicks(new, own, rates, known)
    return lost | {"true rates": lose_clicks(np.log(rates[known:] / rates[:known].mean()), own, rates, known)}


def measure(config: Config, known: int, rows: int, seed: int) -> Float64Array:
    """Return the mean regret per new creative of the three scores, and of the true rates."""
    world = World(config, seed)
    policy = fit(world, known, rows, ("",) * known)
    ids = np.array([creative_id(i) for i in range(config.creatives)])
    features = world.contents if config.content else np.random.default_rng(seed).normal(size=(len(ids), 16))
    contents = Contents(ids, np.full(len(ids), ""), features)
    wider = add_cold_start(policy, contents)
    new = np.arange(known, config.creatives)
    own = score_known(policy, known)
    rates: Float64Array = world.rates[0, 0]
    scores = (
        np.zeros(NEW),
        nearest_scores(own, features, known),
        wider.bias[[wider.creatives.index(name) for name in ids[new]]].astype(np.float64),
        np.log(rates[new] / rates[:known].mean()),
    )
    return np.array([lose_clicks(score, own, rates, known) for score in scores])


def fit(world: World, known: int, rows: int, categories: tuple[str, ...]) -> Policy:
    """Return the policy of smoothed rates from a uniform log of the known creatives."""
    uniform = np.zeros(world.config.creatives)
    uniform[:known] = 1 / known
    ids = [creative_id(i) for i in range(known)]
    frame = world.log(lambda now: np.tile(uniform, (len(now), 1)), rows).frame()
    table, _ = contracts.validate(frame.drop(columns=["user_id", "candidates"]), "impressions")
    data, _ = read_impressions(lambda columns: [table], timedelta(hours=12))
    names = tuple(sorted(set(categories) - {""}))
    known_categories = Categories(names, dict(zip(ids, categories, strict=True))) if names else Categories()
    return replace(models.fit_rates(data, known_categories), temperature=TEMPERATURE, floor=FLOOR)


def score_known(policy: Policy, known: int) -> Float64Array:
    return policy.bias[[policy.creatives.index(creative_id(i)) for i in range(known)]].astype(np.float64)


def nearest_scores(own: Float64Array, features: AnyArray, known: int) -> Float64Array:
    """Return the mean score of the nearest known creatives, weighted by their similarity and shrunk (new,)."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = np.clip(unit[known:] @ unit[:known].T, 0, None)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
    weight = np.take_along_axis(similarity, nearest, 1)
    return np.asarray((weight * own[nearest]).sum(1) / (weight.sum(1) + 1))


def lose_clicks(new: AnyArray, own: AnyArray, rates: AnyArray, known: int) -> float:
    """Return the clicks lost against the best candidate, averaged over new creatives."""
    random = np.random.default_rng(0)
    rivals = np.array([random.choice(known, RIVALS, replace=False) for _ in range(NEW)])
    scores = np.concatenate([new[:, None], own[rivals]], 1)
    true = np.concatenate([rates[known:, None], rates[rivals]], 1)
    odds = np.exp((scores - scores.max(1, keepdims=True)) / TEMPERATURE)
    count = RIVALS + 1
    chosen = FLOOR + (1 - FLOOR * count) * odds / odds.sum(1, keepdims=True)
    return float(IMPRESSIONS * (true.max(1) - (chosen * true).sum(1)).mean())


if __name__ == "__main__":
    main()
