"""Tiny models, written by hand as ONNX and npz."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.support.toy_tunes import NOTES

from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import FeatureScale, Segmenter
from adloom.config.audience import TrainPolicy
from adloom.config.sources import Source
from adloom.copywriting import tokenizer
from adloom.copywriting.verbatim_filter import fingerprint_lines
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, pseudonymise
from adloom.policy.content_model import TEXT_BUCKETS, ContentModel
from adloom.policy.scorer import Policy
from adloom.recommendation.histories import Histories
from adloom.recommendation.item_neighbours import ItemNeighbours
from adloom.recommendation.popularity import Popularity
from adloom.storage import manifest, npz

CATEGORIES = ["Bag", "Boot", "Coat"]
EDGE, LATENT, DIMENSIONS = 28, 4, 5
NO_ATTRIBUTES: Mapping[str, Sequence[str]] = {}
LINES = ["Lovely dress", "Lovely warm coat", "Very warm dress", "Soft warm coat", "Soft dress"]
RECOMMENDED = ["item-a", "item-b", "item-c", "item-d"]
USERS = ["1", "2", "3", "4"]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
PARAMS = Source(uri="by hand")
READER = "of the policy"  # digest of the reader that the policy was trained with


def write_models(folder: Path, key: bytes = PUBLISHED_KEY) -> Path:
    """Write one artifact per model into a folder."""
    write_generator(folder / "gan")
    write_reader(folder / "cnn")
    write_copywriter(folder / "lstm")
    write_stylizer(folder / "style")
    write_composer(folder / "music")
    write_audience(folder / "audience", key)
    write_recommender(folder / "recommender", key, manifest.digest(folder / "audience"))
    write_policy(folder / "policy", manifest.digest(folder / "audience"))
    return folder


def write_generator(target: Path, channels: int = 1, edge: int = EDGE, tones: Sequence[str] = ()) -> None:
    """Write a generator with a shade per category and per value of `tone`; z changes every pixel a little."""
    pixels = channels * edge * edge
    levels = [np.linspace(-0.9, 0.9, len(CATEGORIES)), np.linspace(-0.5, 0.5, len(tones))]
    shades = np.concatenate(levels).astype(np.float32)[:, None].repeat(pixels, 1)
    mixing = np.random.default_rng(0).normal(0, 0.2, (LATENT, pixels)).astype(np.float32)
    shape = np.array([-1, channels, edge, edge])
    nodes = [
        ("MatMul", ["condition", "shades"], "shade"),
        ("MatMul", ["z", "mixing"], "moved"),
        ("Add", ["shade", "moved"], "sum"),
        ("Tanh", ["sum"], "flat"),
        ("Reshape", ["flat", "shape"], "picture"),
    ]
    with manifest.draft(target, "train_gan", PARAMS, {}) as draft:
        _onnx(
            draft.path / "generator.onnx", nodes, {"shades": shades, "mixing": mixing, "shape": shape},
            [("z", FLOAT, ["batch", LATENT]), ("condition", FLOAT, ["batch", len(shades)])],
            [("picture", FLOAT, ["batch", channels, edge, edge])],
        )  # fmt: skip
        image = {"height": edge, "width": edge, "channels": channels}
        write_card(draft.path, image, attributes={"tone": list(tones)} if tones else {})


def write_reader(target: Path, tones: Sequence[str] = ()) -> None:
    """Write a linear reader that separates dark from light pictures, also as `tone`, with a random projection."""
    shade = np.linspace(-0.05, 0.05, len(CATEGORIES), dtype=np.float32)[None].repeat(EDGE * EDGE, 0)
    projection = np.random.default_rng(1).normal(0, 0.1, (EDGE * EDGE, DIMENSIONS)).astype(np.float32)
    nodes = [
        ("Flatten", ["picture"], "flat"),
        ("MatMul", ["flat", "shade"], "logits"),
        ("Softmax", ["logits"], "probabilities"),
        ("MatMul", ["flat", "projection"], "projected"),
        ("LpNormalization", ["projected"], "embedding"),
    ]
    weights = {"shade": shade, "projection": projection}
    outputs: list[Value] = [
        ("probabilities", FLOAT, ["batch", len(CATEGORIES)]),
        ("embedding", FLOAT, ["batch", DIMENSIONS]),
    ]
    if tones:
        nodes += [("MatMul", ["flat", "tones"], "tone"), ("Softmax", ["tone"], "attributes")]
        weights["tones"] = np.linspace(-0.05, 0.05, len(tones), dtype=np.float32)[None].repeat(EDGE * EDGE, 0)
        outputs.append(("attributes", FLOAT, ["batch", len(tones)]))
    with manifest.draft(target, "train_cnn", PARAMS, {}) as draft:
        _onnx(draft.path / "reader.onnx", nodes, weights, [("picture", FLOAT, ["batch", 1, EDGE, EDGE])], outputs)
        known = np.eye(DIMENSIONS, dtype=np.float32)
        names = np.array([f"creative-{i}" for i in range(DIMENSIONS)])
        np.savez(
            draft.path / "known.npz", creative_id=names, category=np.array(CATEGORIES * 2)[:DIMENSIONS], embedding=known
        )
        image = {"height": EDGE, "width": EDGE, "channels": 1}
        write_card(draft.path, image, attributes={"tone": list(tones)} if tones else {})


def write_copywriter(target: Path) -> None:
    """Write a bigram model of LINES that ignores the state."""
    tokens = tokenizer.fit(LINES, ["Dresses", "Coats"], vocabulary=300)
    counts = np.full((tokens.size, tokens.size), 1e-6, np.float32)
    for line in LINES:
        for category in (None, "Dresses", "Coats"):
            ids = tokens.encode_line(line, category)
            np.add.at(counts, (ids[:-1], ids[1:]), 1)
    nodes = [("Gather", ["table", "token"], "logits"), ("Identity", ["h"], "h_out"), ("Identity", ["c"], "c_out")]
    state: list[str | int] = [1, "batch", 2]
    with manifest.draft(target, "train_lstm", PARAMS, {}) as draft:
        _onnx(
            draft.path / "copywriter.onnx", nodes, {"table": np.log(counts)},
            [("token", INT64, ["batch", "sequence"]), ("h", FLOAT, state), ("c", FLOAT, state)],
            [("logits", FLOAT, ["batch", "sequence", tokens.size]), ("h_out", FLOAT, state), ("c_out", FLOAT, state)],
        )  # fmt: skip
        (draft.path / "tokenizer.json").write_text(tokens.to_json(), encoding="utf-8")
        np.savez(draft.path / "known.npz", fingerprints=fingerprint_lines(LINES))
        write_card(draft.path, None, tokens.categories)


def write_stylizer(target: Path) -> None:
    """Write a stylizer that moves pixels towards the style's mean colour, and a gradient that brightens."""
    nodes = [
        ("ReduceMean", ["style", "space"], "mean"),
        ("Sub", ["mean", "content"], "distance"),
        ("Reshape", ["strength", "column"], "share"),
        ("Mul", ["share", "distance"], "way"),
        ("Add", ["content", "way"], "picture"),
    ]
    weights = {"space": np.array([2, 3]), "column": np.array([-1, 1, 1, 1])}
    shape: list[str | int] = ["batch", 3, "height", "width"]
    styles: list[str | int] = ["batch", 3, "rows", "columns"]
    brighten = [
        ("ReduceSum", ["weights"], "one"),
        ("Mul", ["picture", "zero"], "no"),
        ("Add", ["no", "one"], "gradient"),
    ]
    with manifest.draft(target, "train_style", PARAMS, {}) as draft:
        _onnx(
            draft.path / "stylizer.onnx", nodes, weights,
            [("content", FLOAT, shape), ("style", FLOAT, styles), ("strength", FLOAT, ["batch"])],
            [("picture", FLOAT, shape)],
        )  # fmt: skip
        _onnx(
            draft.path / "dream.onnx", brighten, {"zero": np.zeros(1, np.float32)},
            [("picture", FLOAT, [1, 3, "height", "width"]), ("weights", FLOAT, [11])],
            [("gradient", FLOAT, [1, 3, "height", "width"])],
        )  # fmt: skip
        write_card(draft.path, None, [])


def write_composer(target: Path) -> None:
    """Write a composer without preference that ignores the state."""
    nodes = [("Gather", ["table", "token"], "logits"), ("Identity", ["h"], "h_out"), ("Identity", ["c"], "c_out")]
    state: list[str | int] = [1, "batch", 2]
    size = NOTES.size
    with manifest.draft(target, "train_music", PARAMS, {}) as draft:
        _onnx(
            draft.path / "composer.onnx", nodes, {"table": np.zeros((size, size), np.float32)},
            [("token", INT64, ["batch", "sequence"]), ("h", FLOAT, state), ("c", FLOAT, state)],
            [("logits", FLOAT, ["batch", "sequence", size]), ("h_out", FLOAT, state), ("c_out", FLOAT, state)],
        )  # fmt: skip
        (draft.path / "vocabulary.json").write_text(NOTES.to_json(), encoding="utf-8")
        np.savez(draft.path / "known.npz", runs=np.array([1], np.uint64))
        write_card(draft.path, None, NOTES.styles)


def write_audience(target: Path, key: bytes = PUBLISHED_KEY, users: Sequence[str] = USERS) -> None:
    """Write two segments, recent buyers and others; the first half of the users are recent buyers."""
    names = ("segment-1", "segment-2")
    scale = FeatureScale(np.zeros(5), np.zeros(5), np.ones(5))
    prototypes = np.zeros((2, 5))
    prototypes[1, 0] = np.log1p(300)
    with manifest.draft(target, "segment", PARAMS, {}) as draft:
        Segmenter(scale, prototypes, np.array([0, 1]), names).save(draft.path / "segmenter.npz")
        ids = [pseudonymise(user, key) for user in users]
        SegmentIndex.build(ids, np.arange(len(ids)) * 2 // len(ids), names).save(draft.path / "members.npz")
        write_card(draft.path, None, [])
        draft.facts["key"] = key_fingerprint(key)


def write_recommender(target: Path, key: bytes = PUBLISHED_KEY, audience: str | None = None) -> None:
    """
    Write an item-kNN of four items in a circle: the nearest of each is the next one.

    User 1 has item-a, user 2 has item-a and item-b. item-d is the most popular; in segment-2, item-c is.
    """
    share = np.array([0.3, 0.2, 0.1, 0.4], np.float32)
    popularity = Popularity(share, np.array(["segment-2"]), share[None, [0, 1, 3, 2]])
    neighbours = ItemNeighbours(np.array([[1], [2], [3], [0]], np.int32), np.ones((4, 1), np.float32), share)
    users = sorted((pseudonymise(user, key), items) for user, items in (("1", [0]), ("2", [0, 1])))
    lengths, items = [len(each) for _, each in users], [item for _, each in users for item in each]
    ids = np.array([user for user, _ in users], "S32")
    histories = Histories(ids, np.append(0, np.cumsum(lengths)), np.array(items, np.int32))
    with manifest.draft(target, "recommend", PARAMS, {}) as draft:
        npz.save(draft.path / "items.npz", items=np.array(RECOMMENDED))
        npz.save(draft.path / "popularity.npz", **popularity.to_arrays())
        npz.save(draft.path / "neighbours.npz", **neighbours.to_arrays())
        histories.save(draft.path / "histories.npz")
        draft.write_json(
            "card.json", {"categories": [], "chosen": "neighbours", "audience": audience, "candidates": {}}
        )
        draft.write_json("history.json", {})
        draft.facts["key"] = key_fingerprint(key)


def write_policy(target: Path, audience: str | None, best: str = "creative-0", floor: float = 0.01) -> None:
    """
    Write a policy with odds 1 per creative, 8 for the best, 4 for new boots; at the top, known ones are equal.

    The odds of an ad that READER read are e to the power of its embedding's only number, times those of its category.
    """
    ids = [f"creative-{i}" for i in range(DIMENSIONS)]
    odds = np.array([8 if creative == best else 1 for creative in ids], np.float32)
    policy = Policy(
        creatives=tuple(ids),
        category=np.array([0, 1, 2, 0, 1]),
        categories=tuple(CATEGORIES),
        bias=np.log(odds),
        features=(("placement",), ("segment",)),
        values=(("top",), ("segment-1", "segment-2")),
        weights=(np.stack([np.zeros(DIMENSIONS), -np.log(odds)]).astype(np.float32), np.zeros((3, 5), np.float32)),
        prior=np.log(np.array([1, 4, 1, 1], np.float32)),
        floor=floor,
        content=ContentModel(np.zeros((4, 1 + TEXT_BUCKETS + 1)), np.eye(1 + TEXT_BUCKETS + 1)[0]),
    )
    with manifest.draft(target, "train_policy", PARAMS, {}) as draft:
        policy.save(draft.path / "policy.npz")
        chosen = {"model": "linear", "temperature": 1.0}
        card = {"model": "policy", "chosen": chosen, "categories": CATEGORIES, "audience": audience, "reader": READER}
        card |= {"params": TrainPolicy().model_dump(mode="json"), "candidates": []}
        (draft.path / "card.json").write_text(json.dumps(card), encoding="utf-8")


def write_card(
    folder: Path,
    image: dict[str, int] | None,
    categories: Sequence[str] = CATEGORIES,
    attributes: Mapping[str, Sequence[str]] = NO_ATTRIBUTES,
) -> None:
    card = {"categories": list(categories), "attributes": attributes, "params": {"purchase": "purchase"}}
    card |= {"image": image} if image else {}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


Node = tuple[str, list[str], str]
Value = tuple[str, int, Sequence[str | int]]


def _onnx(
    path: Path, nodes: list[Node], weights: dict[str, np.ndarray], inputs: list[Value], outputs: list[Value]
) -> None:
    graph = helper.make_graph(
        [helper.make_node(kind, names, [output]) for kind, names, output in nodes],
        "by hand",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
