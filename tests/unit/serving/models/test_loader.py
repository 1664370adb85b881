"""A bundle serves only when every byte is the one that was written and one inference gave what the card promises."""

import json
import shutil
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from tests.support.tiny_models import CATEGORIES, PARAMS, write_audience, write_models

from adloom.config.models import MODELS
from adloom.serving.api.problems import Problem
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.models.sources import UnavailableModel
from adloom.storage import manifest

OTHER_CONDITION = b'{"categories": ["Bag"], "image": {"height": 28, "width": 28, "channels": 1}}'


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "models"))


def reload(folder: Path) -> Models:
    return loader.load(sources.find_in_folder(folder), threads=1)


def rewrite(target: Path, name: str, content: bytes) -> None:
    """Make the artifact again with one file changed, so that its manifest agrees with it."""
    kept = {path.name: path.read_bytes() for path in target.iterdir() if path.name != manifest.MANIFEST}
    facts = manifest.read(target).facts
    with manifest.draft(target, "by hand", PARAMS, {}) as made:
        for each, bytes_ in {**kept, name: content}.items():
            (made.path / each).write_bytes(bytes_)
        made.facts.update(facts)


def test_every_model_serves(models: Models, folder: Path) -> None:
    assert list(models.loaded) == ["gan", "cnn", "lstm", "style", "music", "audience", "recommender", "policy"]
    assert not models.absent
    assert models.gan.origin.digest == manifest.digest(folder / "gan")
    assert models.gan.card.categories == CATEGORIES


def test_a_changed_byte_refuses_one_model_and_says_which_file(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = own / "cnn" / "reader.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    models = reload(own)
    assert list(models.loaded) == ["gan", "lstm", "style", "music", "audience", "recommender", "policy"]
    assert f"{path}: changed since it was written" in models.absent["cnn"]
    assert caplog.messages == [f"cnn is not served: {models.absent['cnn']}"]


@pytest.mark.parametrize(
    ("model", "name", "content", "said"),
    [
        ("gan", "generator.onnx", b"not a model", "gan: "),
        ("gan", "card.json", b"{", "Invalid JSON"),
        ("gan", "card.json", b'{"categories": ["Bag"]}', "no image size"),
        ("gan", "card.json", OTHER_CONDITION, "a condition has 3 columns, card.json names 1 categories"),
        ("cnn", "known.npz", b"PK", "cnn: "),
        ("lstm", "tokenizer.json", b"{}", "not a tokenizer"),
        ("music", "vocabulary.json", b"{}", "no notes of this project"),
        ("audience", "members.npz", b"", "expected an npz"),
        ("recommender", "items.npz", b"", "expected an npz"),
        ("recommender", "card.json", b'{"chosen": "lstm"}', "chose lstm"),
        ("policy", "policy.npz", b"", "expected an npz"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(own: Path, model: str, name: str, content: bytes, said: str) -> None:
    rewrite(own / model, name, content)
    models = reload(own)
    assert said in models.absent[model]
    assert "\n" not in models.absent[model]
    pair = {"policy"} if model == "audience" else set()
    assert models.loaded.keys() == MODELS.keys() - {model} - pair


def test_a_card_that_promises_another_shape(own: Path) -> None:
    card = {"categories": CATEGORIES, "image": {"height": 32, "width": 32, "channels": 1}}
    rewrite(own / "gan", "card.json", json.dumps(card).encode())
    assert "pictures are (3, 1, 28, 28), card.json promises (3, 1, 32, 32)" in reload(own).absent["gan"]


def test_pickled_arrays_are_never_opened(own: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", creative_id=np.array([print]), category=np.array(["x"]), embedding=np.eye(1))
    rewrite(own / "cnn", "known.npz", (tmp_path / "bad.npz").read_bytes())
    assert "allow_pickle=False" in reload(own).absent["cnn"]


def test_an_audience_whose_users_are_in_unknown_segments(own: Path, tmp_path: Path) -> None:
    write_audience(tmp_path / "other")
    with np.load(tmp_path / "other" / "members.npz") as members:
        arrays = dict(members)
    np.savez(tmp_path / "members.npz", **{**arrays, "names": np.array(["a", "b"])})
    rewrite(own / "audience", "members.npz", (tmp_path / "members.npz").read_bytes())
    assert "members and segmenter name other segments" in reload(own).absent["audience"]


def test_skipped_and_missing_models_are_absent_for_that_reason(own: Path) -> None:
    manifest.skip(own / "lstm", "train_lstm", PARAMS, "no source: ingest.copy is not given")
    shutil.rmtree(own / "gan")
    models = reload(own)
    assert models.absent == {
        "lstm": "skipped: no source: ingest.copy is not given",
        "gan": f"{own / 'gan'} does not exist",
    }
    with pytest.raises(Problem, match="model gan is not served") as raised:
        _ = models.gan
    assert raised.value.status == HTTPStatus.SERVICE_UNAVAILABLE


def test_colour_pictures_serve_too(tmp_path: Path) -> None:
    from tests.support.tiny_models import write_generator

    write_generator(tmp_path / "gan", channels=3)
    assert reload(tmp_path).gan.card.shape == (3, 28, 28)


def test_nothing_at_all(tmp_path: Path) -> None:
    models = loader.load({"gan": UnavailableModel("gone")}, threads=1)
    assert (models.loaded, models.absent) == ({}, {"gan": "gone"})


def test_the_same_content_has_the_same_digest_twice(tmp_path: Path, folder: Path) -> None:
    again = write_models(tmp_path)
    assert manifest.digest(again / "gan") == manifest.digest(folder / "gan")
