"""Preparation: raw chunks in, valid rows with their split and quarantined rows with their reason out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pandas as pd

from adloom.config.params import Period, Prepare
from adloom.data import contracts, pictures, privacy, splits
from adloom.data.context import PREFIX
from adloom.data.contracts import CONTRACTS, DuplicateFinder
from adloom.data.picture_files import PictureError
from adloom.data.pictures import PictureFormat, PictureHeader
from adloom.data.quality import Quality
from adloom.errors import DataError

REASON = "reason"


@dataclass(frozen=True)
class SourceFacts:
    """What a raw table says about itself."""

    source: str
    licence: str
    public: bool
    timestamp_format: str | None = None


@dataclass(frozen=True)
class PreparedChunk:
    """A chunk, taken apart."""

    rows: pd.DataFrame  # valid, with `split`
    quarantine: pd.DataFrame  # text, with `reason`


@dataclass
class Preparation:
    """
    Prepares the chunks of one table in their order, remembering what was seen.

    `key` makes the pseudonyms of tables with users, `erased` holds the pseudonyms whose rows are dropped.
    """

    table: str
    params: Prepare
    origin: SourceFacts
    key: bytes
    erased: frozenset[str] = frozenset()
    form: PictureFormat | None = None  # of pictures
    quality: Quality = field(init=False)
    _keys: DuplicateFinder = field(default_factory=DuplicateFinder)
    _contents: DuplicateFinder = field(default_factory=DuplicateFinder)

    def __post_init__(self) -> None:
        self.quality = Quality(self.table)

    def __call__(self, raw: pd.DataFrame) -> PreparedChunk:
        """Prepare one chunk of raw rows."""
        self.quality.read += len(raw)
        raw = self._with_consent(raw.reset_index(drop=True))
        self._note_columns(raw)
        rows, reasons = contracts.validate(raw, self.table, self.origin.timestamp_format)
        if CONTRACTS[self.table].users:
            rows, reasons = self._pseudonymised(rows, reasons)
            erased = rows["user_id"].isin(self.erased)
            self._drop("on the erasure list", int(erased.sum()))
            rows, reasons = rows[~erased], reasons[~erased]
        rows, reasons, contents = FINISH[self.table](self, rows, reasons)
        return self._apart(raw, rows, self._unrepeated(rows, reasons), contents)

    def _pseudonymised(self, rows: pd.DataFrame, reasons: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
        """
        Make ids pseudonyms but where they are already, under this key; under another one nobody would be found.

        What only claims to be a pseudonym becomes one, and its row is broken.
        """
        under, rows = rows[contracts.USER_KEY], rows.drop(columns=contracts.USER_KEY)
        claimed = under.notna() & rows["user_id"].notna()
        known = claimed & (under == privacy.key_fingerprint(self.key)).fillna(False)
        already = known & privacy.look_like_pseudonyms(rows["user_id"])
        made = privacy.pseudonymise_column(rows["user_id"], self.key)
        reasons = reasons.mask((reasons == "") & claimed & ~known, "user_key: another key than this one")
        reasons = reasons.mask((reasons == "") & known & ~already, "user_id: not a pseudonym, as user_key says")
        return rows.assign(user_id=made.mask(already, rows["user_id"])), reasons

    def _with_consent(self, raw: pd.DataFrame) -> pd.DataFrame:
        column = self.params.consent_column
        if column is None or self.origin.public or not CONTRACTS[self.table].users:
            return raw
        if f"{PREFIX}{column}" in raw:  # an impression's, which came with the request
            column = f"{PREFIX}{column}"
        if column not in raw:
            raise DataError(
                f"{self.table}: no column {column} (prepare.consent_column); found {', '.join(raw.columns)}"
            )
        consented = privacy.has_consent(raw[column])
        self._drop("without consent", int((~consented).sum()))
        return raw[consented]

    def _drop(self, reason: str, count: int) -> None:
        if count:
            self.quality.dropped[reason] += count

    def _note_columns(self, raw: pd.DataFrame) -> None:
        kept = {*CONTRACTS[self.table].kept(raw.columns), contracts.PARSE_ERROR}
        self.quality.columns_dropped = sorted(
            {*self.quality.columns_dropped, *(str(name) for name in raw if name not in kept)}
        )

    def _unrepeated(self, rows: pd.DataFrame, reasons: pd.Series) -> pd.Series:
        """Add the reason of rows whose key an earlier valid row has."""
        key = CONTRACTS[self.table].key
        if key is None:
            return reasons
        repeated = self._keys(rows.loc[reasons == "", key])
        return reasons.mask(repeated.reindex(reasons.index, fill_value=False), f"{key}: duplicate")

    def _apart(self, raw: pd.DataFrame, rows: pd.DataFrame, reasons: pd.Series, contents: pd.Series) -> PreparedChunk:
        valid = reasons == ""
        kept = rows[valid].reset_index(drop=True)
        self.quality.duplicates += int(self._contents(contents[valid]).sum())
        self.quality.keep(kept)
        self.quality.quarantined.update(reasons[~valid])
        return PreparedChunk(kept, self._quarantine(raw, rows[~valid], reasons[~valid]))

    def _quarantine(self, raw: pd.DataFrame, rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
        """Return broken rows as text: the contract's columns as they were read, user ids as pseudonyms, no pictures."""
        contract = CONTRACTS[self.table]
        shown = pd.DataFrame(index=rows.index)
        for name in contract.kept(raw.columns):
            if name not in raw or name == "user_id":
                values = rows[name] if name in rows else pd.Series(None, rows.index, "str")
            elif name != "image":
                values = raw.loc[rows.index, name]
            else:
                continue
            shown[name] = values.astype("str")
        return shown.assign(**{REASON: reasons.astype("str")}).reset_index(drop=True)


FinishedRows = tuple[pd.DataFrame, pd.Series, pd.Series]  # rows, reasons, and what tells the content of rows apart


def _finish_creatives(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    wanted = task.form or PictureFormat(pictures.SIZES[0], 1)
    made = [_convert_picture(image, wanted, task.params.max_pixels) for image in rows["image"]]
    reasons = reasons.mask(reasons == "", pd.Series([reason for _, _, reason in made], reasons.index, "str"))
    contents = pd.Series([content for _, content, _ in made], rows.index, "uint64")
    rows = rows.assign(
        image=pd.Series([png for png, _, _ in made], rows.index, "object"),
        width=wanted.size,
        height=wanted.size,
        channels=wanted.channels,
        source=task.origin.source,
        licence=task.origin.licence,
        split=splits.split_by_hash(contents),
    )
    return rows, reasons, contents


def _convert_picture(image: object, wanted: PictureFormat, max_pixels: int) -> tuple[bytes | None, int, str]:
    """Return a picture's PNG bytes, its content hash, and "" or why it cannot be used."""
    try:
        png, pixels = pictures.convert(image, wanted, max_pixels)
    except PictureError as error:
        return None, 0, str(error)
    return png, splits.hash_content(pictures.hash_bytes(pixels)), ""


def _finish_copy(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    del task
    hashes = [splits.hash_content(splits.normalise_text(text).encode()) for text in rows["text"].fillna("")]
    contents = pd.Series(hashes, rows.index, "uint64")
    return rows.assign(split=splits.split_by_hash(contents)), reasons, contents


def _finish_timed(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    """Cut a table in time, and users into halves where every row has one."""
    period: Period = getattr(task.params, task.table)
    late = rows["timestamp"] >= pd.Timestamp(period.end, tz="UTC")
    reasons = reasons.mask((reasons == "") & late, f"timestamp: not before prepare.{task.table}.end")
    plain = rows.drop(columns=[name for name in (CONTRACTS[task.table].key, "candidates") if name in rows])
    contents = pd.util.hash_pandas_object(plain, index=False)
    rows = rows.assign(split=splits.split_by_time(rows["timestamp"], period.holdout_start))
    if CONTRACTS[task.table].columns["user_id"].required:
        rows["half"] = splits.assign_halves(rows["user_id"])
    return rows, reasons, contents


FINISH: dict[str, Callable[[Preparation, pd.DataFrame, pd.Series], FinishedRows]] = {
    "creatives": _finish_creatives,
    "copy": _finish_copy,
    "events": _finish_timed,
    "impressions": _finish_timed,
}


def read_headers(images: Iterable[object], max_pixels: int) -> Iterator[PictureHeader]:
    """Yield the headers of those pictures that have a readable one."""
    for image in images:
        try:
            yield pictures.read_header(image, max_pixels)
        except PictureError:
            continue
