"""The verification's answer takes everything that a verification may find."""

from tests.support.signed_pictures import ORIGIN

from adloom.credentials.records import UsedIngredient, Verification
from adloom.serving.api.credentials_schemas import VerifyAnswer
from adloom.serving.creatives.issued_pictures import IssuedMatch
from adloom.serving.creatives.verify import describe


def test_every_field_reaches_the_answer() -> None:
    ingredient = UsedIngredient("content", None, "inputTo", signed=True)
    verification = Verification("changed", ("pixels",), True, "me", "them", "2026-01-02", ORIGIN, (ingredient,))
    match = IssuedMatch("sha256:1", "cropped", 0.995, ORIGIN)
    answer = describe(verification, match)
    assert VerifyAnswer.model_validate_json(answer.model_dump_json()) == answer
    assert answer.origin == answer.match.origin if answer.match else False
    assert (answer.changed, answer.ingredients[0].signed, answer.trusted_by) == (["pixels"], True, "them")
