"""Entries of the catalogue: pins, licences, origins, and how their sources are read."""

from adloom.catalogue.entries import ENTRIES, complete_source
from adloom.catalogue.networks import NETWORKS
from adloom.catalogue.packages import Url
from adloom.config.sources import Source


def test_every_entry_is_pinned_and_says_how_it_is_read_and_under_which_licence() -> None:
    assert set(ENTRIES) == {
        "fashion-mnist",
        "clothing-reviews",
        "clothing-reviews-with-texts",
        "cdnow",
        "twemoji",
        "twemoji-people",
        "movielens-100k",
        "open-bandit",
        "fiddle-tunes",
        "mnist-digits",
        "efficientnet-lite0",
        "all-minilm-l6-v2",
        "adworld",
    }
    for name, known in ENTRIES.items():
        assert known.source.uri == name
        assert known.source.format or known in NETWORKS
        assert known.source.licence
        assert [file.path for file in known.files] == sorted(file.path for file in known.files)
        assert all(file.version.removeprefix("sha256:").isalnum() and len(file.version) == 71 for file in known.files)
        assert all(len(p.sha256) == 64 and p.origins for set_of in known.alternatives for p in set_of)
        assert known.parts or sum(len(p.origins) for set_of in known.alternatives for p in set_of) >= 2
        assert set(known.parts) < set(ENTRIES)


def test_every_address_of_the_catalogue_is_asked_over_tls() -> None:
    """Network policies let stages ask port 443 alone."""
    for known in ENTRIES.values():
        for package in (package for alternative in known.alternatives for package in alternative):
            urls = [origin.url for origin in package.origins if isinstance(origin, Url)]
            assert urls, package.file
            assert all(url.startswith("https://") for url in urls), package.file


def test_what_params_say_of_a_catalogue_entry_goes_before_what_the_catalogue_knows() -> None:
    cdnow = complete_source(Source(uri="cdnow", constants={"event": "order"}))
    assert cdnow.constants == {"event": "order"}
    assert cdnow.separator == "whitespace"
    own = Source(uri="./cdnow", format="csv")
    assert complete_source(own) is own
