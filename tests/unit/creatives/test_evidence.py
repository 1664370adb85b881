"""Evidence in the report: by a reader that looks for light."""

import numpy as np
import pytest
from tests.support import painted_pictures
from tests.unit.creatives.test_search_evaluation import Reading

from adloom.arrays import Float32Array
from adloom.creatives import evidence
from adloom.evaluation.metric import Figure


class LightReader:
    def __call__(self, picture: Float32Array) -> Reading:
        return Reading(picture)

    def locate_evidence(self, picture: Float32Array) -> Float32Array | None:
        light = picture.reshape(len(picture), 4, 7, 4, 7).mean((2, 4))
        return np.stack([-light, light], 1)


class OlderReader(LightReader):
    def locate_evidence(self, picture: Float32Array) -> Float32Array | None:
        return None


@pytest.mark.slow
def test_pictures_of_each_category_are_drawn_with_their_evidence() -> None:
    table = painted_pictures.as_table(painted_pictures.rows())
    [figure] = evidence.evaluate(LightReader(), table, ["squares", "stripes"]).sections
    assert isinstance(figure, Figure)
    assert figure.png.startswith(b"\x89PNG")
    assert evidence.evaluate(OlderReader(), table, ["squares", "stripes"]).sections == []
