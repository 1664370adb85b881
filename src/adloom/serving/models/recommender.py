"""Open the recommender."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adloom.errors import ArtifactError
from adloom.onnx_models.integer_product import IntegerProduct
from adloom.onnx_models.runtime import ItemEncoder
from adloom.recommendation.factorization import ItemFactors
from adloom.recommendation.histories import Histories
from adloom.recommendation.recommender import Recommender, load_items, load_models, load_popularity
from adloom.recommendation.recurrent import RecurrentScorer
from adloom.recommendation.shortlist import Shortlist
from adloom.serving.models.card import INFERENCE_TIMEOUT, ModelCard, check_output
from adloom.storage import manifest


@dataclass(frozen=True)
class ItemRecommender:
    """The recommender, the items of known users, and the key of their pseudonyms."""

    recommender: Recommender
    histories: Histories
    key_fingerprint: str


def open_recommender(folder: Path, card: ModelCard, threads: int) -> ItemRecommender:
    """Open the chosen recommender and score the items after the first of them."""
    items = load_items(folder)
    has_lstm = card.chosen == "lstm" and (folder / "encoder.onnx").exists()
    encode = ItemEncoder(folder, 1, INFERENCE_TIMEOUT) if has_lstm else None  # waiting for a thread takes longer
    models = load_models(folder, encode)
    if card.chosen not in models:
        raise ArtifactError(f"{folder}: card.json chose {card.chosen}, which it lacks; run `adloom recommend` again")
    scorer, first = models[card.chosen], np.zeros(1, np.int32)
    check_output(folder, "scores", scorer.score([first]), (1, len(items)))
    if (key := manifest.read(folder).facts.get("key")) is None:
        raise ArtifactError(f"{folder}: its manifest names no pseudonym key; run `adloom recommend` again")
    shortlist = None
    if isinstance(scorer, ItemFactors | RecurrentScorer):
        shortlist = Shortlist.build(scorer, IntegerProduct())
    recommender = Recommender(items, load_popularity(folder), scorer, shortlist)
    recommender.find_items(items[:1].tolist())  # the first search builds an index
    return ItemRecommender(recommender, Histories.load(folder / "histories.npz"), key)
