"""The sources of the tables: where their files are, and how the files are written."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from adloom.config.base import ConfigModel, require_match
from adloom.config.value_formats import ValueFormat


def _to_integer(value: str | int | float | bool) -> str | int | float | bool:
    """Return 1 for 1.0: DVC treats them as equal, so their bytes must be equal."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


Constant = Annotated[str | int | float | bool, AfterValidator(_to_integer)]


Separator = Annotated[
    str, require_match(r'whitespace|[^"\r\n]', "one character, or 'whitespace'; a tab is \"\\t\" in double quotes")
]


def _require_text_encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError("no text encoding; expected a name such as cp1252, utf-16 or shift_jis") from None
    return name


FORMATS_OF_KEYS = {
    "separator": ("csv",),
    "encoding": ("csv", "jsonl", "abc"),
    "skip_rows": ("csv", "xlsx"),
    "sheet": ("xlsx",),
}
LIBRARY = "library"  # the uri of the creative library
PRETRAINED_FEATURES = "Pretrained picture features: the catalogue's name, or a path or s3://bucket/prefix of its file."


class Source(ValueFormat):
    """The source of one table and its column names."""

    uri: str = Field(
        min_length=1,
        description="A path, s3://bucket/prefix, a name of the built-in catalogue, or `library` for the approved "
        "pictures and ads of the creative library (a path of such a name needs ./).",
    )
    format: Literal["idx", "folder", "csv", "parquet", "jsonl", "xlsx", "abc"] | None = Field(
        None, description="File format; catalogue entries have their own."
    )
    columns: dict[str, str] = Field(
        {},
        description="Contract column, ctx_<name> of an impression, attr_<name> of a creative, or impressions and "
        "clicks of aggregated impressions: column in the source, or $file, $folder, $path of the row's file.",
    )
    constants: dict[str, Constant] = Field({}, description="Contract column: a constant value for every row.")
    separator: Separator = Field(
        ",",
        description="Field separator of a CSV file: one character, or 'whitespace' for runs of blanks.",
    )
    encoding: Annotated[str, AfterValidator(_require_text_encoding)] | None = Field(
        None,
        description="Encoding of a text file without a byte order mark, such as cp1252, utf-16 or shift_jis; UTF-8 if "
        "absent.",
    )
    skip_rows: int = Field(0, ge=0, description="Number of lines (of a workbook: rows) above the header.")
    sheet: str | None = Field(None, description="Sheet of a workbook; required if several have content.")
    licence: str | None = Field(None, description="Licence of the data; every model trained on it records the licence.")

    @model_validator(mode="after")
    def _refuse_unused_keys(self) -> Self:
        for key, formats in FORMATS_OF_KEYS.items():
            is_set = getattr(self, key) != type(self).model_fields[key].default
            if is_set and self.format and self.format not in formats:
                raise ValueError(f"{key} is for {' and '.join(formats)}; remove it for {self.format}")
        return self


class Ingest(ConfigModel):
    """Sources of the tables; stages skip a table without a source."""

    creatives: Source | None = Field(None, description="Pictures, with a category each.")
    copy_: Source | None = Field(None, alias="copy", description="Advertising copy, one line per row.")
    events: Source | None = Field(None, description="Purchases and other events of users.")
    impressions: Source | None = Field(None, description="Impressions of creatives, with clicks.")
    tunes: Source | None = Field(None, description="Tunes in ABC notation.")

    @model_validator(mode="after")
    def _refuse_other_tables_of_library(self) -> Self:
        for table in ("copy_", "events", "impressions", "tunes"):
            if (source := getattr(self, table)) and source.uri == LIBRARY:
                name = table.rstrip("_")
                raise ValueError(
                    f"{name}.uri: the library is a source of creatives only; `adloom library export` has lines"
                )
        return self

    def source(self, table: str) -> Source | None:
        """Return a table's source, or None."""
        return getattr(self, "copy_" if table == "copy" else table)  # type: ignore[no-any-return]


class CopySplit(ConfigModel):
    """The split of copy."""

    group: str = Field(
        "group",
        description="Column of lines that share a split, such as the variants of one A/B test; without it each text is "
        "split alone.",
    )
