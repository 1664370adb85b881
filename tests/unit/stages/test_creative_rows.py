"""The table of creatives is opened without its pictures."""

from pathlib import Path

import numpy as np
from tests.support import painted_pictures

from adloom.creatives import pictures
from adloom.stages.creative_rows import open_creatives


def test_pictures_are_read_when_they_are_needed(tmp_path: Path) -> None:
    frame = painted_pictures.rows(size=32, channels=3)
    creatives = open_creatives(painted_pictures.write(tmp_path, frame))
    assert "image" not in creatives.rows
    assert creatives.list_categories() == ["squares", "stripes"]
    expected = pictures.decode_pngs(frame["image"].tolist(), 3, 32, 32)
    assert (creatives.decode(np.arange(60)) == expected).all()
    assert (creatives.decode_split("test", ["stripes"]).pixels[:] == expected[9::10]).all()
