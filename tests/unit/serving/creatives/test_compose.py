"""The endpoint that composes melodies."""

import base64
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.support.http_client import post_invalid, post_ok
from tests.support.midi_files import read_midi

from adloom.serving.api.credentials_schemas import VERIFY
from adloom.serving.api.schemas import COMPOSE
from adloom.serving.models.loader import Models


def test_a_library_reads_the_notes_of_the_answer(client: TestClient, models: Models) -> None:
    answer = post_ok(client, COMPOSE, {"bars": 4, "seed": 1, "key": "Em", "metre": "6/8"})
    assert (answer["key"], answer["metre"], answer["seed"], len(answer["bars"])) == ("E minor", "6/8", 1, 4)
    notes, meta = read_midi(base64.b64decode(answer["midi"]))
    assert [list(note) for note in notes if note.pitch] == [
        [note["pitch"], note["ticks"]] for bar in answer["bars"] for note in bar if note["pitch"]
    ]
    assert {sum(note["ticks"] for note in bar) for bar in answer["bars"]} == {1440}
    assert [message.text for message in meta if message.type == "text"] == [
        f"adloom:model={models.music.origin.digest}",
        "adloom:seed=1",
        "adloom:source_type=trainedAlgorithmicMedia",
    ]


def test_equal_seeds_give_equal_melodies_and_a_drawn_seed_repeats(client: TestClient) -> None:
    drawn = post_ok(client, COMPOSE, {"bars": 2})
    again = post_ok(client, COMPOSE, {"bars": 2, "seed": drawn["seed"]})
    assert again | {"sidecar": None} == drawn | {"sidecar": None}  # signed at another time
    assert (drawn["key"], drawn["metre"]) == ("D major", "2/4")


def test_a_melody_verifies_by_its_sidecar(client: TestClient, models: Models) -> None:
    answer = post_ok(client, COMPOSE, {"bars": 2, "seed": 3, "key": "G"})
    verified = post_ok(client, VERIFY, {"midi": answer["midi"], "sidecar": answer["sidecar"]})
    assert (verified["state"], verified["ours"]) == ("whole", True)
    origin = verified["origin"]
    assert (origin["model"], origin["digest"], origin["seed"]) == ("music", models.music.origin.digest, 3)
    assert origin["facts"] == {"key": "G major", "metre": "2/4"}
    other = base64.b64encode(b"MThd").decode()
    assert post_ok(client, VERIFY, {"midi": other, "sidecar": answer["sidecar"]})["changed"] == ["content"]
    assert "not base64" in post_invalid(client, VERIFY, {"midi": "!"}, 422)["detail"]
    assert "exactly one" in post_invalid(client, VERIFY, {"midi": other, "line": "a"}, 422)["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"key": "H"}, "key"),
        ({"key": "none"}, "key"),
        ({"metre": "7/13"}, "metre"),
        ({"metre": "16/4"}, "metre"),
        ({"bars": 65}, "bars"),
        ({"bars": 0}, "bars"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_what_cannot_be_composed_is_refused_by_field(client: TestClient, body: dict[str, Any], field: str) -> None:
    assert field in post_invalid(client, COMPOSE, body, 422)["detail"]


def test_a_bar_that_no_notes_fill_is_refused(client: TestClient) -> None:
    assert "the model's notes fill no such bar" in post_invalid(client, COMPOSE, {"metre": "1/32"}, 422)["detail"]
