"""Procedural pictures: a function of their seed and number, colourful, all different."""

import numpy as np

from adloom.creatives.textures import draw_scenes, draw_textures


def test_pictures_depend_on_seed_and_number_alone() -> None:
    for draw in (draw_textures, draw_scenes):
        pictures = draw(5, 32, 1)
        assert pictures.shape == (5, 3, 32, 32)
        np.testing.assert_array_equal(pictures[:2], draw(2, 32, 1))
        assert len(np.unique(pictures.reshape(5, -1), axis=0)) == 5
        assert not np.array_equal(pictures[0], draw(1, 32, 2)[0])


def test_every_picture_shows_something() -> None:
    pictures = np.concatenate([draw_textures(8, 32, 3), draw_scenes(4, 32, 3)])
    assert pictures.std((2, 3)).max(1).min() > 10
