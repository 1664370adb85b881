"""Origins: the facts that are known, as text."""

from adloom.credentials.origin import Origin


def test_unknown_facts_are_left_out_and_zero_is_known() -> None:
    assert Origin("efficientnet", facts={"layer": "7"}).describe() == {"model": "efficientnet", "layer": "7"}
    assert Origin("gan", digest="abc", seed=0, number=0).describe() == {"model": "abc", "seed": "0", "number": "0"}
