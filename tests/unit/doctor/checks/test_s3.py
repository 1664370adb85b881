"""Without a URI in S3 nothing is asked."""

from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import s3


def test_without_a_uri_or_an_endpoint_nothing_is_asked(make_context: MakeContext) -> None:
    assert [finding.name for finding in s3.check(make_context())] == ["s3-not-asked"]
