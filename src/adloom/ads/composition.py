"""Compose an ad: place picture, headline, button, disclaimer and logo by the rules of a template."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from adloom.ads.artwork import Shades, Treatment
from adloom.ads.brand import Brand
from adloom.ads.colours import choose_text_colour, contrast, mix_colours
from adloom.ads.placements import Box, Placement, SizeRange
from adloom.ads.templates import Template, choose_template
from adloom.ads.text_fitting import FittedText, fit_text
from adloom.ads.typefaces import is_right_to_left
from adloom.arrays import UInt8Array
from adloom.config.brand import Palette

SchemeName = Literal["dark", "light", "bold"]
Role = Literal["name", "headline", "action", "disclaimer"]
BUTTON_PAD, BUTTON_HEIGHT = 1.15, 2.3  # of the text's size
GAP = 0.9  # between headline and button, of the margin
MIN_GAP = 4.0  # pixels between two parts
BUTTON_CONTRAST = 3.0  # WCAG 2.2, success criterion 1.4.11
FILL = 0.92  # most of a column's middle that headline and button take
NAME_SIZE = 0.85  # of a written name, of the logo's height
SIDE = 0.34  # most of a strip's column that its button takes
LOW_SIDE = 0.6  # most of a low column that its button takes, with the logo at its side


@dataclass(frozen=True)
class AdContent:
    """The picture and the texts of an ad."""

    picture: UInt8Array  # (height, width, 3)
    headline: str
    action: str  # the call to action
    category: str | None = None


@dataclass(frozen=True)
class Design:
    """The choices that make variants of an ad."""

    template: int = 0
    scheme: SchemeName = "dark"
    treatment: Treatment = "photo"


class Scheme(NamedTuple):
    """The colours of a design."""

    ground: str
    shades: Shades


@dataclass(frozen=True)
class TextBlock:
    """A text at its place."""

    role: Role
    text: FittedText
    box: Box
    align: Literal["left", "center", "right"]
    colour: str


@dataclass(frozen=True)
class Composition:
    """An ad with the places of its parts."""

    placement: Placement
    template: Template
    scheme: Scheme
    design: Design
    content: AdContent
    texts: tuple[TextBlock, ...]
    solids: Mapping[str, Box]  # logo and button
    button: str  # its colour


def compose(content: AdContent, placement: Placement, brand: Brand, design: Design) -> Composition:
    """Return an ad of this size; equal arguments give equal ads."""
    template = choose_template(placement, design.template)
    is_photo = template.covers and design.treatment == "photo"  # the light scheme has the dark scrim
    scheme = choose_scheme(brand.kit.palette, "light" if is_photo else design.scheme)
    ground = scheme.shades.ground if template.covers else scheme.ground
    layout = _Layout(content, placement, brand, template, ground)
    (layout.fill_row if template.flow == "row" else layout.fill_column)()
    return Composition(placement, template, scheme, design, content, tuple(layout.texts), layout.solids, layout.button)


def choose_scheme(palette: Palette, name: SchemeName) -> Scheme:
    """Return the colours of a design."""
    primary, accent, surface = palette.primary, palette.accent, palette.surface
    if name == "dark":
        deep, middle = mix_colours(accent, primary, 0.72), mix_colours(accent, surface, 0.45)
        return Scheme(primary, Shades(accent, (deep, middle, surface)))
    if name == "light":
        return Scheme(surface, Shades(primary, (mix_colours(primary, accent, 0.5), accent, surface)))
    return Scheme(accent, Shades(surface, (mix_colours(surface, accent, 0.55), accent, primary)))


def choose_button(palette: Palette, ground: str) -> str:
    """Return the colour of a button: the brand's brightest that stands out from the ground."""
    colours = palette.accent, palette.primary, palette.surface, palette.ink
    visible = (colour for colour in colours if contrast(colour, ground) >= BUTTON_CONTRAST)
    return next(visible, choose_text_colour(ground, *colours))


class _Layout:
    """Fills the column of a template."""

    def __init__(
        self,
        content: AdContent,
        placement: Placement,
        brand: Brand,
        template: Template,
        ground: str,
    ) -> None:
        self._placement, self._brand, self._template = placement, brand, template
        palette, self._content = brand.kit.palette, content
        self._colour = choose_text_colour(ground, palette.ink, palette.paper)
        self.button = choose_button(palette, ground)
        self._label_colour = choose_text_colour(self.button, palette.paper, palette.ink)
        self._gap = max(MIN_GAP, GAP * placement.margin)
        self._disclaimer = " ".join(brand.kit.find_disclaimers(content.category, placement.name))
        self.texts: list[TextBlock] = []
        self.solids: dict[str, Box] = {}

    def fill_column(self) -> None:
        """Stack logo, headline and button, and disclaimer; in a low column the logo is at the side of the button."""
        area = column = self._template.column
        is_low = self._template.covers and area.height <= area.width / 2
        if self._template.logo:
            self._place_logo(self._template.logo)
        elif not is_low:
            used = self._place_logo(Box(area.x, area.y, area.width, self._placement.logo)) + self._gap
            area = area.inset(0, used, 0, 0)
        if self._disclaimer:
            text = self._fit(self._disclaimer, area.width, area.height / 3, "disclaimer")
            used = text.height + self._gap
            self._add_text("disclaimer", text, Box(area.x, area.bottom - text.height, area.width, text.height))
            area = area.inset(0, 0, 0, used)
        self._place_message(area, area.width * (LOW_SIDE if is_low else 1))
        if is_low:
            self._place_logo_beside(self.solids["button"], column)

    def fill_row(self) -> None:
        """Put headline above disclaimer, and at their side the logo above the button."""
        area = self._template.column
        label = self._fit_label(SIDE * area.width)
        side_width = max(_button_width(label), min(SIDE * area.width, self._logo_width(self._placement.logo)))
        side = Box(area.right - side_width, area.y, side_width, area.height)
        button_height = BUTTON_HEIGHT * label.size
        gap = max(MIN_GAP, (area.height - self._placement.logo - button_height) / 3)
        top = area.y + max((area.height - self._placement.logo - gap - button_height) / 2, 0)
        used = self._place_logo(Box(side.x, top, side.width, self._placement.logo), "center")
        self._place_button(label, Box(side.x, top + used + gap, side.width, button_height), "center")
        self._fill_texts(area.inset(0, 0, side_width + 1.5 * self._placement.margin, 0))

    def _fill_texts(self, area: Box) -> None:
        """Put the headline into a strip, above its disclaimer."""
        disclaimer = (
            self._fit(self._disclaimer, area.width, area.height / 3, "disclaimer") if self._disclaimer else None
        )
        gap = max(MIN_GAP, self._placement.margin / 2)
        below = disclaimer.height + gap if disclaimer else 0.0
        headline = self._fit(self._content.headline, area.width, area.height - below, "headline")
        top = area.y + max((area.height - below - headline.height) / 2, 0)
        self._add_text("headline", headline, Box(area.x, top, area.width, headline.height))
        if disclaimer:
            bottom = Box(area.x, top + headline.height + gap, area.width, disclaimer.height)
            self._add_text("disclaimer", disclaimer, bottom)

    def _place_message(self, area: Box, button_width: float) -> None:
        """Put headline and button into the middle of what is left of the column."""
        label = self._fit_label(button_width)
        button_height = BUTTON_HEIGHT * label.size
        height = FILL * area.height - button_height - self._gap
        headline = self._fit(self._content.headline, area.width, height, "headline")
        group = headline.height + self._gap + button_height
        top = area.y + max((area.height - group) / 2, 0)
        self._add_text("headline", headline, Box(area.x, top, area.width, headline.height))
        button = Box(area.x, top + headline.height + self._gap, area.width, button_height)
        self._place_button(label, button, self._align(self._content.headline))

    def _fit(self, text: str, width: float, height: float, role: Role) -> FittedText:
        faces, placement = self._brand.typefaces, self._placement
        if role == "disclaimer":
            return fit_text(text, faces.text, width, height, placement.disclaimer)
        return fit_text(text, faces.headline, width, height, placement.headline)

    def _fit_label(self, width: float) -> FittedText:
        """Return the button's text, so small that the button fits into this width."""
        sizes, face = self._placement.action, self._brand.typefaces.headline
        fitted = fit_text(self._content.action, face, width, 2 * sizes.largest, sizes)
        room = max(width - 2 * BUTTON_PAD * fitted.size, 1.0)
        return fit_text(self._content.action, face, room, 2 * sizes.largest, sizes)

    def _place_logo(self, area: Box, align: str | None = None) -> float:
        """Put the logo or the brand's name into an area, and return the height that it takes."""
        place = align or self._align(self._content.headline)
        if self._brand.logo is None:
            text = self._fit_name(area)
            self._add_text("name", text, Box(area.x, area.y, area.width, text.height), place)
            return text.height
        width = min(self._logo_width(area.height), area.width)
        height = width / self._brand.logo.aspect
        self.solids["logo"] = Box(_start(area, width, place), area.y, width, height)
        return height

    def _place_logo_beside(self, button: Box, column: Box) -> None:
        """Put the logo into the space at the side of the button."""
        gap, is_right = 2 * self._gap, self._align(self._content.headline) == "right"
        start, end = (column.x, button.x - gap) if is_right else (button.right + gap, column.right)
        area = Box(start, button.y, max(end - start, 1.0), self._placement.logo)
        if self._brand.logo is None:
            height = self._fit_name(area).height
        else:
            height = min(area.height, area.width / self._brand.logo.aspect)
        self._place_logo(replace(area, y=button.y + (button.height - height) / 2))

    def _fit_name(self, area: Box) -> FittedText:
        sizes = SizeRange(NAME_SIZE * area.height, min(7.0, NAME_SIZE * area.height), 1)
        return fit_text(self._brand.kit.name, self._brand.typefaces.headline, area.width, area.height, sizes)

    def _logo_width(self, height: float) -> float:
        if self._brand.logo:
            return height * self._brand.logo.aspect
        return self._brand.typefaces.headline.measure(self._brand.kit.name, NAME_SIZE * height)

    def _place_button(self, label: FittedText, area: Box, align: str) -> None:
        """Draw the button around its text."""
        width = min(_button_width(label), area.width)
        box = Box(_start(area, width, align), area.y, width, area.height)
        self.solids["button"] = box
        inner = Box(box.x, box.y + (box.height - label.height) / 2, box.width, label.height)
        self.texts.append(TextBlock("action", label, inner, "center", self._label_colour))

    def _align(self, text: str) -> Literal["left", "center", "right"]:
        return "right" if self._template.align == "left" and is_right_to_left(text) else self._template.align

    def _add_text(self, role: Role, text: FittedText, box: Box, align: str | None = None) -> None:
        place = align or self._align(text.lines[0])
        self.texts.append(TextBlock(role, text, box, place, self._colour))  # type: ignore[arg-type]


def _button_width(label: FittedText) -> float:
    return label.width + 2 * BUTTON_PAD * label.size


def _start(area: Box, width: float, align: str) -> float:
    """Return the left edge of something aligned in an area."""
    return area.x + (area.width - width) * {"left": 0.0, "center": 0.5, "right": 1.0}[align]
