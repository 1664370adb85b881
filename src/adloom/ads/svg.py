"""Write a composition as SVG: one named layer per part, texts as text."""

from collections.abc import Iterator
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from adloom.ads.artwork import draw_artwork
from adloom.ads.brand import Brand
from adloom.ads.composition import Composition, TextBlock
from adloom.ads.placements import Box
from adloom.ads.text_fitting import LEADING
from adloom.ads.typefaces import CAP_HEIGHT, is_right_to_left

Part = Literal["all", "graphics", "texts"]
NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape"'
ANCHORS = {"left": "start", "center": "middle", "right": "end"}
EMBED_RIGHT_TO_LEFT = "\u202b{}\u202c"  # so that a full stop ends a line at its left


def write_svg(ad: Composition, brand: Brand, part: Part = "all") -> str:
    """Return the SVG of an ad, or its layers without texts, or those of texts alone."""
    layers = list(_graphics(ad, brand)) if part != "texts" else []
    if part != "graphics":
        layers += [_layer(block.role, _text(block)) for block in ad.texts]
    width, height, title = ad.placement.width, ad.placement.height, ad.content.headline
    return (
        f'<svg {NAMESPACES} width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f"aria-label={quoteattr(title)}><title>{escape(title)}</title>{''.join(layers)}</svg>"
    )


def _graphics(ad: Composition, brand: Brand) -> Iterator[str]:
    template, shades = ad.template, ad.scheme.shades
    yield _layer("background", _rectangle(ad.placement.canvas, ad.scheme.ground))
    yield _layer("picture", _picture(ad))
    if template.covers and ad.design.treatment == "photo":
        yield _layer("scrim", _scrim(ad, shades.ground))
    if logo := ad.solids.get("logo"):
        yield _layer("logo", _logo(logo, brand))
    if button := ad.solids.get("button"):
        yield _layer("button", _rectangle(button, ad.button, button.height / 2))


def _layer(name: str, content: str) -> str:
    label = name.capitalize()
    return f'<g id="{name}" inkscape:groupmode="layer" inkscape:label="{label}">{content}</g>'


def _picture(ad: Composition) -> str:
    """Draw the picture on its panel, with round corners if the template frames it."""
    template, panel, shades = ad.template, ad.template.panel, ad.scheme.shades
    free = _free_part(ad) if template.covers else panel
    drawn = _rectangle(panel, shades.ground) + draw_artwork(ad.content.picture, ad.design.treatment, free, shades)
    clip = f'<clipPath id="frame">{_rectangle(panel, "#000000", template.radius)}</clipPath>'
    return f'<defs>{clip}</defs><g clip-path="url(#frame)">{drawn}</g>'


def _free_part(ad: Composition) -> Box:
    """Return the part of a covered ad that its texts leave free."""
    canvas, column = ad.placement.canvas, ad.template.column
    if canvas.width >= canvas.height:
        return Box(column.right, 0, canvas.right - column.right, canvas.height)
    return Box(0, 0, canvas.width, column.y)


def _scrim(ad: Composition, colour: str) -> str:
    """Draw a gradient that is opaque below the texts and ends in the middle of what they leave free."""
    canvas, column = ad.placement.canvas, ad.template.column
    if canvas.width >= canvas.height:
        solid = column.right / canvas.width
        direction, end = 'x1="0" y1="0" x2="1" y2="0"', solid + 0.5 * (1 - solid)
    else:
        solid = (canvas.height - column.y + ad.placement.margin / 2) / canvas.height
        direction, end = 'x1="0" y1="1" x2="0" y2="0"', solid + 0.35 * (1 - solid)
    stops = "".join(
        f'<stop offset="{offset:.4f}" stop-color="{colour}" stop-opacity="{opacity}"/>'
        for offset, opacity in ((solid, 1), (end, 0))
    )
    gradient = f'<defs><linearGradient id="fade" {direction}>{stops}</linearGradient></defs>'
    return gradient + _rectangle(canvas, "url(#fade)")


def _logo(box: Box, brand: Brand) -> str:
    uri = brand.logo.uri if brand.logo else ""
    return f'<image {_place(box)} preserveAspectRatio="xMidYMid meet" href="{uri}"/>'


def _text(block: TextBlock) -> str:
    text, box = block.text, block.box
    x = {"left": box.x, "center": box.x + box.width / 2, "right": box.right}[block.align]
    lines = "".join(
        f'<tspan x="{x:.2f}" y="{box.y + text.size * (CAP_HEIGHT + i * LEADING):.2f}">{escape(_embed(line))}</tspan>'
        for i, line in enumerate(text.lines)
    )
    family = quoteattr(f"'{text.face.family}', sans-serif")
    return (
        f'<text font-family={family} font-size="{text.size:g}" font-weight="{text.face.weight}" '
        f'font-style="{text.face.style}" fill="{block.colour}" text-anchor="{ANCHORS[block.align]}">{lines}</text>'
    )


def _embed(line: str) -> str:
    return EMBED_RIGHT_TO_LEFT.format(line) if is_right_to_left(line) else line


def _rectangle(box: Box, fill: str, radius: float = 0.0) -> str:
    return f'<rect {_place(box)} rx="{radius:.2f}" fill="{fill}"/>'


def _place(box: Box) -> str:
    return f'x="{box.x:.2f}" y="{box.y:.2f}" width="{box.width:.2f}" height="{box.height:.2f}"'
