"""Facts about tunes."""

import pandas as pd

from adloom.data.tunes import read_facts

BODY = "DFAd fdAF|GBdg bgdB|DFAd fdAF|EFGE D2D2|"
HIGHER = str.maketrans(dict(zip("DEFGABdfgb", ("G", "A", "B", "c", "d", "e", "g", "b", "c'", "e'"), strict=True)))


def test_a_tune_in_another_key_is_the_same_content_in_the_same_split() -> None:
    in_g = BODY.translate(HIGHER)
    facts = read_facts(pd.Series([f"M:C|\nL:1/8\nK:D\n{BODY}", f"M:2/2\nL:1/8\nK:G\n{in_g}", "K:D\n&", ""]))
    assert facts["key"].tolist()[:2] == ["D major", "G major"]
    assert facts["metre"].tolist()[:2] == ["2/2"] * 2
    assert facts["content"][0] == facts["content"][1]
    assert facts["split"][0] == facts["split"][1]
    reasons = facts["reason"].tolist()
    assert reasons == ["", "", "notation: unreadable '&' in line 2", reasons[3]]
    assert reasons[3].startswith("notation: no line K:")
