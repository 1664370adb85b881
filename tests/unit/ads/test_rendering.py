import io

import numpy as np
from PIL import Image
from tests.support.brands import BRAND, compose_ad, draw_photo

from adloom.ads.rendering import encode_png, encode_webp, render_svg
from adloom.ads.svg import write_svg

FONTS = BRAND.typefaces.paths


def test_shapes_have_their_colours() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="2"><rect width="2" height="2" fill="#ff6b4a"/></svg>'
    )
    pixels = render_svg(svg, FONTS)
    assert pixels.shape == (2, 4, 4)
    assert pixels[0].tolist() == [[255, 107, 74, 255]] * 2 + [[0, 0, 0, 0]] * 2


def test_a_text_is_drawn_in_the_given_font_and_as_wide_as_measured() -> None:
    ad = compose_ad("970x250")
    ink = render_svg(write_svg(ad, BRAND, "texts"), FONTS)[:, :, 3] > 96
    (block,) = [block for block in ad.texts if block.role == "headline"]
    columns = np.flatnonzero(ink[:, int(block.box.x) : int(block.box.right)].any(axis=0))
    assert 0.94 * block.text.width <= np.ptp(columns) <= block.text.width


def test_a_png_of_few_colours_keeps_them() -> None:
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[:, :9] = (31, 42, 82, 255)
    image = Image.open(io.BytesIO(encode_png(pixels, 1000)))
    assert (image.mode, image.getpixel((0, 0)), image.getpixel((20, 0))) == ("RGB", (31, 42, 82), (0, 0, 0))


def test_a_heavy_png_gets_a_palette() -> None:
    pixels = draw_photo(200, 200)
    png = encode_png(pixels, 100_000)
    assert len(encode_png(pixels, 200_000)) > 100_000 > len(png)
    assert Image.open(io.BytesIO(png)).mode == "P"


def test_a_webp_takes_the_best_quality_that_is_light_enough() -> None:
    pixels = draw_photo(200, 200)
    sizes = [len(encode_webp(pixels, most)) for most in (100_000, 29_000, 0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] <= 29_000 < sizes[0]
    assert Image.open(io.BytesIO(encode_webp(pixels, 100_000))).format == "WEBP"
