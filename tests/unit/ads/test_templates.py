import pytest

from adloom.ads.placements import PLACEMENTS, Placement
from adloom.ads.templates import TEMPLATES, Template, choose_template

ALL = [(each, choose_template(each, i)) for each in PLACEMENTS.values() for i in range(len(TEMPLATES[each.family]))]
NAMES = [f"{placement.name}-{template.name}" for placement, template in ALL]


@pytest.mark.parametrize(("placement", "template"), ALL, ids=NAMES)
def test_texts_stay_in_the_safe_area_and_off_the_picture(placement: Placement, template: Template) -> None:
    areas = [template.column, *([template.logo] if template.logo else [])]
    assert all(placement.safe_area.contains(area, 0.001) for area in areas)
    assert template.covers or not any(area.overlaps(template.panel) for area in areas)
    assert placement.canvas.contains(template.panel)


def test_every_size_has_at_least_two_templates_and_numbers_wrap_around() -> None:
    assert min(map(len, TEMPLATES.values())) >= 2
    placement = PLACEMENTS["728x90"]
    assert choose_template(placement, 2) == choose_template(placement, 0) != choose_template(placement, 1)


def test_a_mirrored_template_exchanges_left_and_right() -> None:
    left, right = (choose_template(PLACEMENTS["728x90"], number) for number in (0, 1))
    assert left.panel.x == 0
    assert right.panel.right == 728
    assert left.column.x == 728 - right.column.right
