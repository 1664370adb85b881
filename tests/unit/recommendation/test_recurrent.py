"""Sequences for the LSTM over items, and its scores."""

import numpy as np
from tests.support.item_events import interact

from adloom.arrays import Float32Array, Int64Array
from adloom.recommendation.recurrent import RecurrentScorer, cut_sequences


def test_pieces_overlap_by_one_item_so_that_each_is_a_target_once() -> None:
    interactions = interact({"u1": ["a", "b", "c", "d", "e"], "u2": ["a"]})
    assert cut_sequences(interactions, length=2) == [[0, 1, 2], [2, 3, 4], [4, 5], [0, 1]]
    assert cut_sequences(interactions.keep(interactions.time < 0), length=2) == []


def test_the_last_items_are_encoded_and_padding_is_not_read() -> None:
    seen: list[Int64Array] = []

    def encode(token: Int64Array) -> Float32Array:
        seen.append(token)
        return token[:, :, None].astype(np.float32)  # the feature is the token

    scorer = RecurrentScorer(encode, np.array([[1.0], [2.0]], np.float32), np.array([0.0, 0.5], np.float32), length=3)
    scores = scorer.score([np.array([9, 0, 1, 4], np.int32), np.array([6], np.int32)])
    assert seen[0].tolist() == [[0, 1, 2, 5], [0, 7, 0, 0]]
    assert scores.tolist() == [[5, 10.5], [7, 14.5]]
    assert (scorer.embed([np.array([6], np.int32)]) @ scorer.vectors.T).tolist() == [[7, 14.5]]
