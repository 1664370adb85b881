"""Logos: PNG, or SVG of shapes alone, without scripts, texts and outside addresses."""

import base64
import io
import re
import warnings
from dataclasses import dataclass
from xml.etree import ElementTree

from PIL import Image

from adloom.ads.rendering import render_svg

MAX_BYTES = 500_000
MAX_PIXELS = 4_000_000
MAX_ASPECT = 12  # times a logo may be as wide as it is high, or as high as wide
MAX_DEPTH = 100
EDGE = 640  # pixels of the longest edge of a PNG in ads
PNG = b"\x89PNG\r\n\x1a\n"
SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
SHAPES = {
    *("svg", "g", "defs", "title", "desc", "metadata", "path", "rect", "circle", "ellipse", "line", "polyline"),
    *("polygon", "linearGradient", "radialGradient", "stop", "clipPath", "mask", "use", "symbol"),
}
OUTSIDE = re.compile(r"url\(\s*['\"]?(?!#)|@import|javascript:|expression\(", re.IGNORECASE)
LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)(?:px)?\s*")


@dataclass(frozen=True)
class Logo:
    """A logo as a data URI, and its width in heights."""

    uri: str
    aspect: float


def read_logo(content: bytes) -> Logo:
    """Check a logo's file. Raises ValueError with the reason."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"{len(content)} bytes, expected at most {MAX_BYTES}")
    logo = _read_png(content) if content.startswith(PNG) else _read_svg(content)
    if not 1 / MAX_ASPECT <= logo.aspect <= MAX_ASPECT:
        raise ValueError(f"one side is more than {MAX_ASPECT} times the other; crop it")
    place = 'width="64" height="64"'
    if not render_svg(f'<svg xmlns="{SVG[1:-1]}" {place}><image {place} href="{logo.uri}"/></svg>', [])[:, :, 3].any():
        raise ValueError("nothing of it is drawn; simplify it")
    return logo


def _read_png(content: bytes) -> Logo:
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, expected at most {MAX_PIXELS}")
            picture = image.convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow's, of a broken PNG
        raise ValueError(f"not a PNG that can be read ({error})") from None
    aspect = picture.width / picture.height
    picture.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return Logo(f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}", aspect)


def _read_svg(content: bytes) -> Logo:
    try:
        text = content.decode("utf-8")
        if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
            raise ValueError("has a DTD; remove <!DOCTYPE …>")
        root = ElementTree.fromstring(text)  # noqa: S314
    except (UnicodeDecodeError, ElementTree.ParseError):
        raise ValueError("neither PNG nor SVG in UTF-8") from None
    if root.tag != f"{SVG}svg":
        raise ValueError("not an SVG document")
    _check_element(root)
    ElementTree.register_namespace("", SVG.strip("{}"))
    cleaned = ElementTree.tostring(root, encoding="unicode")
    return Logo(f"data:image/svg+xml;base64,{base64.b64encode(cleaned.encode()).decode()}", _read_aspect(root))


def _check_element(element: "ElementTree.Element", depth: int = 0) -> None:
    """Raise ValueError for a part that may run, load or say something; drop those of editors."""
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} elements inside each other; simplify it")
    for name, value in element.attrib.items():
        leads_outside = name in {"href", f"{XLINK}href"} and not value.startswith("#")
        if leads_outside or name.lower().startswith("on") or name.endswith("}base") or OUTSIDE.search(value):
            raise ValueError(f"attribute {name.rpartition('}')[2]}: scripts and outside addresses are not allowed")
    for child in list(element):
        name = child.tag.removeprefix(SVG)
        if not child.tag.startswith(SVG):
            element.remove(child)
        elif name not in SHAPES:
            hint = "; convert texts to paths" if name == "text" else ""
            raise ValueError(f"<{name}> is not allowed in a logo{hint}")
        else:
            _check_element(child, depth + 1)


def _read_aspect(root: "ElementTree.Element") -> float:
    numbers = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    sizes = [LENGTH.fullmatch(root.get(name, "")) for name in ("width", "height")]
    try:
        if len(numbers) == 4:
            return float(numbers[2]) / float(numbers[3])
        if all(sizes):
            return float(sizes[0][1]) / float(sizes[1][1])  # type: ignore[index]
    except (ValueError, ZeroDivisionError):
        pass
    raise ValueError("no size; give its <svg> a viewBox such as 0 0 120 40")
