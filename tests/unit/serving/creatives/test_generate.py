"""The endpoints that generate pictures and lines of copy."""

import base64
import io
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient
from tests.support.http_client import post_invalid, post_ok
from tests.support.tiny_models import EDGE, LINES, write_generator

from adloom.arrays import BoolArray, Float32Array, Int64Array, UInt8Array
from adloom.copywriting import click_model
from adloom.creatives.copy_check import CopyCheck
from adloom.creatives.fingerprint import Fingerprint
from adloom.library.records import identify_draw
from adloom.onnx_models.runtime import Copywriter, LstmState
from adloom.serving import app as decide_app
from adloom.serving import server
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import GENERATE, WRITE, CopyRequest, GenerateRequest
from adloom.serving.creatives import generate
from adloom.serving.creatives.generate import NOTHING_REJECTED, DrawnPictures, draw_pictures, prepare_pictures
from adloom.serving.creatives.issuer import create_memory_issuer
from adloom.serving.metrics import CreativesCollector
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys


def open_first(answer: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["pictures"][0])))


def decode_pictures(answer: dict[str, Any]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in answer["pictures"]])


def lightness(answer: dict[str, Any]) -> float:
    return float(np.asarray(open_first(answer)).mean())


DEPENDENCIES = decide_app.ServiceDependencies(PseudonymKeys(None))


class TestGenerate:
    def test_draws_pictures_of_the_category(self, client: TestClient, models: Models) -> None:
        answer = post_ok(client, GENERATE, {"category": "Boot", "n": 3, "seed": 7})
        pictures = [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in answer["pictures"]]
        assert [(picture.size, picture.mode) for picture in pictures] == [((EDGE, EDGE), "L")] * 3
        assert len({picture.tobytes() for picture in pictures}) == 3
        assert answer["model"] == {"name": "gan", "version": None, "digest": models.gan.origin.digest}
        assert (answer["category"], answer["seed"]) == ("Boot", 7)

    def test_equal_seeds_give_equal_pixels(self, client: TestClient) -> None:
        asked = {"category": "Bag", "n": 2, "seed": 1}
        first = decode_pictures(post_ok(client, GENERATE, asked))
        assert (decode_pictures(post_ok(client, GENERATE, asked)) == first).all()
        assert (decode_pictures(post_ok(client, GENERATE, {**asked, "seed": 2})) != first).any()

    def test_a_drawn_seed_is_told_and_repeats(self, client: TestClient) -> None:
        drawn = post_ok(client, GENERATE, {"category": "Bag"})
        again = post_ok(client, GENERATE, {"category": "Bag", "seed": drawn["seed"]})
        assert (decode_pictures(again) == decode_pictures(drawn)).all()

    def test_pictures_say_that_a_model_made_them(self, client: TestClient, models: Models) -> None:
        answer = post_ok(client, GENERATE, {"category": "Bag", "seed": 5})
        info = Image.open(io.BytesIO(base64.b64decode(answer["pictures"][0]))).info
        assert info["adloom:model"] == models.gan.origin.digest
        assert (info["adloom:category"], info["adloom:seed"], info["adloom:number"]) == ("Bag", "5", "0")
        assert "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia<" in info["xmp"].decode()
        assert answer["source_type"] == "trainedAlgorithmicMedia"

    def test_more_pixels_than_one_request_may_draw(self, tmp_path: Path) -> None:
        write_generator(tmp_path / "gan", edge=128)
        large = loader.load(sources.find_in_folder(tmp_path, ["gan"]), threads=1)
        with TestClient(server.create_named_app("creatives", large, DEPENDENCIES)) as client:
            problem = post_invalid(client, GENERATE, {"category": "Bag", "n": 17}, 422)
            assert (problem["field"], "at most 16 are drawn" in problem["detail"]) == ("n", True)
            assert len(post_ok(client, GENERATE, {"category": "Bag", "n": 16})["pictures"]) == 16

    def test_a_mix_lies_between_its_categories(self, client: TestClient) -> None:
        def draw(**request: object) -> dict[str, Any]:
            answer: dict[str, Any] = post_ok(client, GENERATE, {"seed": 3, **request})
            return answer

        ends = [draw(mix={"Bag": 1 - share, "Coat": share}) for share in (0.001, 0.5, 0.999)]
        assert [answer["category"] for answer in ends] == ["Bag", "Bag", "Coat"]
        assert lightness(ends[0]) < lightness(ends[1]) < lightness(ends[2])
        assert (decode_pictures(draw(mix={"Bag": 1})) != decode_pictures(draw(mix={"Bag": 0.5, "Coat": 0.5}))).any()
        assert lightness(draw(mix={"Bag": 1})) == lightness(draw(category="Bag"))
        assert draw(category="Coat", mix={"Bag": 0.5, "Coat": 0.5})["mix"] == {"Bag": 0.5, "Coat": 0.5}

    def test_attributes_change_the_picture_and_stand_in_its_metadata(self, tmp_path: Path) -> None:
        write_generator(tmp_path / "gan", tones=["dark", "light"])
        loaded = loader.load(sources.find_in_folder(tmp_path, ["gan"]), threads=1)
        with TestClient(server.create_named_app("creatives", loaded, DEPENDENCIES)) as client:
            request = {"category": "Boot", "seed": 1}
            dark, plain, light = (
                post_ok(client, GENERATE, {**request, "attributes": attributes})
                for attributes in ({"tone": "dark"}, {}, {"tone": "light"})
            )
            assert lightness(dark) < lightness(plain) < lightness(light)
            assert dark["attributes"] == {"tone": "dark"}
            assert open_first(dark).info["adloom:attributes"] == '{"tone": "dark"}'
            problem = post_invalid(client, GENERATE, {**request, "attributes": {"tone": "pink"}}, 422)
            assert problem["field"] == "attributes.tone"
            assert "'pink' is not known to gan; known: dark, light" in problem["detail"]
            assert client.get("/v1/models").json()["models"][0]["attributes"] == {"tone": ["dark", "light"]}

    def test_an_unknown_category_is_told_the_known_ones(self, client: TestClient) -> None:
        problem = post_invalid(client, GENERATE, {"category": "bag"}, 422)
        assert problem["field"] == "category"
        assert problem["detail"] == "category: 'bag' is not known to gan; known: Bag, Boot, Coat"

    @pytest.mark.parametrize(
        ("body", "field", "said"),
        [
            ({}, "category", "category: required without mix"),
            ({"category": 3}, "category", "valid string"),
            ({"category": ""}, "category", "at least 1 character"),
            ({"category": "x" * 201}, "category", "at most 200 characters"),
            ({"category": "Bag", "n": 65}, "n", "less than or equal to 64"),
            ({"category": "Bag", "n": 10**30}, "n", "64"),
            ({"category": "Bag", "n": 0}, "n", "greater than or equal to 1"),
            ({"category": "Bag", "n": "2"}, "n", "valid integer"),
            ({"category": "Bag", "n": True}, "n", "valid integer"),
            ({"category": "Bag", "seed": -1}, "seed", "greater than or equal to 0"),
            ({"category": "Bag", "count": 2}, "count", "not permitted"),
            ({"mix": {}}, "mix", "at least 1 item"),
            ({"mix": {"Bag": 0.5, "Boot": 0.6}}, "mix", "the weights sum to 1.1, expected 1"),
            ({"mix": {"Bag": 0.5, "Hat": 0.5}}, "mix", "'Hat' is not known to gan; known: Bag, Boot, Coat"),
            ({"mix": {"Bag": 1.5, "Boot": -0.5}}, "mix.Bag", "less than or equal to 1"),
            ({"mix": {f"c{number}": 1 / 9 for number in range(9)}}, "mix", "at most 8 items"),
            ({"category": "Coat", "mix": {"Bag": 1}}, "category", "'Coat' is not one of mix; leave it out"),
            ({"category": "Bag", "attributes": {"tone": 1}}, "attributes.tone", "valid string"),
            ({"category": "Bag", "attributes": {"tone": "x"}}, "attributes", "'tone' is not known to gan; known: none"),
            ([], None, "object"),
            (None, None, "object"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str | None, said: str) -> None:
        problem = post_invalid(client, GENERATE, body, 422)
        assert problem.get("field") == field
        assert said in problem["detail"]


def write(body: CopyRequest, models: Models) -> list[str]:
    """Return the lines of a single request."""
    job = generate.prepare_copy(body, models)
    (lines,) = generate.write_lines([job])
    return generate.answer_copy(job, lines, create_memory_issuer()).lines


class TestWrite:
    def test_writes_lines_that_obey_the_rules(self, client: TestClient) -> None:
        rules = {"max_characters": 20, "banned_words": ["soft"], "temperature": 1}
        lines = post_ok(client, WRITE, {"n": 20, "seed": 1, "rules": rules, "prompt": "Lovely"})["lines"]
        assert 0 < len(lines) <= 20
        assert all(line.startswith("Lovely") and len(line) <= 20 and "soft" not in line.lower() for line in lines)
        assert not set(lines) & set(LINES), "a training line was repeated"

    def test_many_banned_words_cost_no_more_than_none(self, client: TestClient, models: Models) -> None:
        request = {"n": 64, "rules": {"max_characters": 200, "banned_words": ["coat", "dress", "warm"]}}
        asked: list[int] = []

        class Counted(Copywriter):
            def __init__(self) -> None:
                self.__dict__ |= vars(models.lstm.model.write)

            def __call__(self, token: Int64Array, state: LstmState) -> tuple[Float32Array, LstmState]:
                asked.append(token.size)
                return super().__call__(token, state)

        bundle = models.loaded["lstm"]
        counted = replace(bundle, model=replace(bundle.model, write=Counted()))
        body = CopyRequest.model_validate(request)
        written = " ".join(write(body, Models({"lstm": counted}, {}))).lower()
        assert not any(word in written for word in ("coat", "dress", "warm"))
        assert sum(asked) <= generate.MAX_DRAWN

    def test_required_words_and_no_claims(self, client: TestClient) -> None:
        rules = {"required_words": ["coat"], "banned_words": ["warm"], "no_claims": True, "top_p": 1, "guidance": 0}
        lines = post_ok(client, WRITE, {"n": 4, "seed": 1, "rules": rules})["lines"]
        assert lines
        assert all("coat" in line.lower() and "warm" not in line.lower() for line in lines)

    def test_lines_are_ranked_by_clicks_where_the_model_has_some(self, client: TestClient, models: Models) -> None:
        problem = post_invalid(client, WRITE, {"rank_by_clicks": True}, 422)
        assert problem["field"] == "rank_by_clicks"
        assert "train it with columns impressions and clicks" in problem["detail"]
        weights = np.zeros(click_model.BUCKETS)
        weights[click_model.extract_features("soft")[0]] = 1
        bundle = models.loaded["lstm"]
        ranking = replace(bundle, model=replace(bundle.model, clicks=click_model.ClickModel(weights)))
        rules = {"temperature": 2, "top_p": 1}
        body = CopyRequest.model_validate({"n": 5, "seed": 3, "rank_by_clicks": True, "rules": rules})
        lines = write(body, Models({"lstm": ranking}, {}))
        assert len(lines) == 5
        assert (np.diff(click_model.ClickModel(weights).score(lines)) <= 0).all()

    def test_equal_seeds_give_equal_lines(self, client: TestClient) -> None:
        asked = {"category": "Coats", "n": 5, "seed": 3}
        assert post_ok(client, WRITE, asked)["lines"] == post_ok(client, WRITE, asked)["lines"]

    def test_rules_that_leave_nothing_give_no_lines(self, client: TestClient) -> None:
        assert post_ok(client, WRITE, {"n": 2, "rules": {"max_characters": 1}})["lines"] == []

    @pytest.mark.parametrize(
        ("body", "field", "said"),
        [
            ({"category": "Hats"}, "category", "known: Coats, Dresses"),
            ({"prompt": "x" * 101}, "prompt", "at most 100 characters"),
            ({"prompt": "Lovely", "rules": {"max_characters": 5}}, None, "prompt has 6 characters"),
            ({"n": 65}, "n", "less than or equal to 64"),
            ({"prompt": "\U0001f600" * 50}, "prompt", "200 tokens, expected at most 64"),
            ({"prompt": "a\nb"}, "prompt", "match pattern"),
            ({"rules": {"temperature": 0}}, "rules.temperature", "greater than or equal to 0.1"),
            ({"rules": {"temperature": True}}, "rules.temperature", "valid number"),
            ({"rules": {"temperature": "hot"}}, "rules.temperature", "valid number"),
            ({"rules": {"banned": []}}, "rules.banned", "not permitted"),
            ({"rules": {"banned_words": [""]}}, "rules.banned_words.0", "at least 1 character"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str | None, said: str) -> None:
        problem = post_invalid(client, WRITE, body, 422)
        assert problem.get("field") == field
        assert said in problem["detail"]


class TestCopies:
    """Pictures that are copies of training pictures are replaced by later numbers of the seed."""

    REQUEST = GenerateRequest(category="Bag", n=4, seed=5)

    def refuse(self, models: Models, *numbers: int) -> Models:
        """Return models of which the reader takes these numbers of the seed for copies."""
        drawn = draw_numbers(models, GenerateRequest(category="Bag", n=64, seed=5)).pixels[list(numbers)]

        class Check(CopyCheck):
            def find_copies(self, pixels: UInt8Array) -> BoolArray:
                return np.array([any((picture == copy).all() for copy in drawn) for picture in pixels])

        cnn = models.loaded["cnn"]
        fingerprint = Fingerprint(np.zeros(1, np.float32), np.zeros((1, 1), np.float32))
        reader = replace(cnn.model, copy_check=Check(fingerprint, np.zeros((1, 1), np.float32), 0.0))
        return replace(models, loaded={**models.loaded, "cnn": replace(cnn, model=reader)})

    @pytest.mark.parametrize(
        ("copies", "numbers"),
        [((), [0, 1, 2, 3]), ((1,), [0, 2, 3, 4]), ((0, 3, 4, 6), [1, 2, 5, 7]), ((9,), [0, 1, 2, 3])],
    )
    def test_later_numbers_take_their_place(self, models: Models, copies: tuple[int, ...], numbers: list[int]) -> None:
        before = count_refused()
        drawn = draw_numbers(self.refuse(models, *copies), self.REQUEST)
        assert drawn.numbers == numbers
        assert count_refused() - before == max(numbers) + 1 - len(numbers)
        every = draw_numbers(models, GenerateRequest(category="Bag", n=64, seed=5)).pixels
        np.testing.assert_array_equal(drawn.pixels, every[numbers])

    def test_rejected_numbers_are_no_replacement(self, models: Models) -> None:
        draw = identify_draw(models.gan.origin.digest, 5, {"mix": {"Bag": 1.0}, "attributes": {}})
        drawn = draw_numbers(self.refuse(models, 1), self.REQUEST, {draw: {2, 4}})
        assert drawn.numbers == [0, 3, 5, 6]

    def test_other_requests_of_the_batch_keep_theirs(self, models: Models) -> None:
        refusing = self.refuse(models, 0)
        jobs = [prepare_pictures(r, refusing) for r in (self.REQUEST, GenerateRequest(category="Bag", n=2, seed=6))]
        first, second = draw_pictures(jobs)
        assert isinstance(first, DrawnPictures)
        assert isinstance(second, DrawnPictures)
        assert (first.numbers, second.numbers) == ([1, 2, 3, 4], [0, 1])

    def test_a_generator_that_draws_only_copies_is_told(self, models: Models) -> None:
        jobs = [prepare_pictures(self.REQUEST, self.refuse(models, *range(64)))]
        (problem,) = draw_pictures(jobs)
        assert isinstance(problem, Problem)
        assert problem.status == 503
        assert "model gan draws copies of training pictures" in problem.detail


def count_refused() -> float:
    registry = CollectorRegistry()
    registry.register(CreativesCollector(lambda: 0.0))
    return registry.get_sample_value("adloom_copies_refused_total") or 0.0


def draw_numbers(
    models: Models, request: GenerateRequest, rejected: Mapping[str, Set[int]] = NOTHING_REJECTED
) -> DrawnPictures:
    (drawn,) = draw_pictures([prepare_pictures(request, models, rejected)])
    assert isinstance(drawn, DrawnPictures)
    return drawn
