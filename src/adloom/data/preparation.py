"""Prepare raw chunks: valid rows with their split, invalid rows with their reason."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from PIL import Image

from adloom.arrays import Int64Array
from adloom.config.params import Period, Prepare
from adloom.config.value_formats import PLAIN_FORMAT, ValueFormat
from adloom.data import attributes, bodies, contracts, pictures, privacy, splits, tunes
from adloom.data.context import PREFIX
from adloom.data.contracts import CONTRACTS
from adloom.data.currencies import CurrencyConverter
from adloom.data.duplicates import DuplicateFinder
from adloom.data.format_checks import FormatCheck
from adloom.data.invalid_traffic import mark_rows
from adloom.data.picture_files import PictureError
from adloom.data.pictures import PictureFormat, PictureHeader
from adloom.data.quality import Quality
from adloom.data.refunds import mark_refunds
from adloom.data.spellings import SpellingCheck
from adloom.data.totals import TotalCheck
from adloom.data.user_ids import UserIdCheck
from adloom.data.user_shares import UserSharesCheck
from adloom.data.values import map_distinct
from adloom.errors import ConfigError, DataError

REASON = "reason"
AD = "ad"  # kind and split of composed ads


@dataclass(frozen=True)
class SourceFacts:
    """Facts about the source of a raw table."""

    uri: str
    licence: str
    public: bool
    value_format: ValueFormat = PLAIN_FORMAT
    warnings: tuple[str, ...] = ()  # about the files


@dataclass(frozen=True)
class PreparedChunk:
    """The valid and the invalid rows of a chunk."""

    rows: pd.DataFrame  # valid, with `split`
    quarantine: pd.DataFrame  # invalid, as text, with `reason`


@dataclass
class Preparation:
    """Prepares the chunks of one table in their order, and remembers keys and contents."""

    table: str
    params: Prepare
    source: SourceFacts
    key: bytes  # of pseudonyms
    erased: frozenset[str] | None = None  # pseudonyms of rows to drop, None without a list
    picture_format: PictureFormat | None = None
    repeated: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))  # rows with the key of an earlier one
    quality: Quality = field(init=False)

    def __post_init__(self) -> None:
        self._duplicate_keys = DuplicateFinder()
        self._duplicate_contents = DuplicateFinder()
        self._duplicate_categories = DuplicateFinder()  # of contents with their category
        self._columns: set[str] = set()
        self._user_ids = UserIdCheck()
        self._totals = TotalCheck()
        self._shares = UserSharesCheck()
        self._spellings = SpellingCheck()
        self.quality = Quality(self.table, self.source.warnings)
        if CONTRACTS[self.table].has_users:
            self.quality.checks += [self._user_ids, self._totals, self._shares]
        if self.erased is not None:
            self.quality.erasure = {"ids": len(self.erased), "with_rows": 0}
        self._erased = pd.Index(sorted(self.erased or ()), dtype="object")
        self._has_rows = np.zeros(len(self._erased), np.bool_)  # (erased,)
        self._formats = FormatCheck(self.table, self.source.value_format)
        self.quality.checks += [self._formats, self._spellings]
        rates = self.params.currency_rates
        self.currencies = CurrencyConverter(self.table, self.params.currency, rates, self.quality.currencies)

    def __call__(self, raw: pd.DataFrame) -> PreparedChunk:
        """Prepare one chunk of raw rows."""
        first = self.quality.read + 1
        self.quality.read += len(raw)
        raw = self._filter_consent(raw.set_axis(range(first, first + len(raw))))  # rows are numbered from 1
        raw = self._name_group(raw)
        self._record_dropped_columns(raw)
        rows, reasons = contracts.validate(raw, self.table, self.source.value_format)
        user_ids = None
        self._formats.count(raw, rows)
        if CONTRACTS[self.table].has_users:
            user_ids = rows["user_id"]
            self._user_ids.count(user_ids)
            if "user_id" in raw:
                self._user_ids.count_inexact(raw["user_id"])
            rows, reasons = self._drop_invalid_totals(raw, *self._pseudonymise(rows, reasons))
            rows, reasons = self._drop_users(rows, reasons)
        rows, reasons, contents = FINISH[self.table](self, rows, reasons)
        valid, quarantine = self._split_valid(raw, rows, self._mark_duplicates(rows, reasons), contents)
        self._spellings.count(valid)
        if user_ids is not None:
            self._totals.count(valid, user_ids[valid.index])
            self._shares.count(valid)
        return PreparedChunk(valid.reset_index(drop=True), quarantine)

    def _drop_invalid_totals(
        self, raw: pd.DataFrame, rows: pd.DataFrame, reasons: pd.Series
    ) -> tuple[pd.DataFrame, pd.Series]:
        totals = self._totals.find_invalid(raw, reasons)
        self._drop("a total", int(totals.sum()))
        return rows[~totals], reasons[~totals]

    def _drop_users(self, rows: pd.DataFrame, reasons: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
        """Drop the rows of users on the erasure list."""
        position = self._erased.get_indexer(pd.Index(rows["user_id"], dtype="object"))
        erased = position >= 0
        self._has_rows[position[erased]] = True
        if self.quality.erasure is not None:
            self.quality.erasure["with_rows"] = int(self._has_rows.sum())
        self._drop("on the erasure list", int(erased.sum()))
        return rows[~erased], reasons[~erased]

    def finish(self) -> None:
        """Complete the counts. Raises DataError for a table with numbers of two meanings or several currencies."""
        self._formats.require_clear()
        self.currencies.require_one()
        self.quality.duplicates += len(self._duplicate_contents.find_late())
        self.quality.bots = self._shares.find_bots()

    def find_late_duplicates(self) -> Int64Array:
        """Return rows that were kept but have the key of an earlier one; prepare the table again with them."""
        return self._duplicate_keys.find_late()

    def _pseudonymise(self, rows: pd.DataFrame, reasons: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
        """Pseudonymise user ids unless they are pseudonyms under this key; false claims make rows invalid."""
        key_of_row, rows = rows[contracts.USER_KEY], rows.drop(columns=contracts.USER_KEY)
        claimed = key_of_row.notna() & rows["user_id"].notna()
        same_key = claimed & (key_of_row == privacy.key_fingerprint(self.key)).fillna(False)
        is_pseudonym = same_key & privacy.look_like_pseudonyms(rows["user_id"])
        pseudonyms = map_distinct(rows["user_id"], privacy.make_pseudonymiser(self.key))
        reasons = reasons.mask((reasons == "") & claimed & ~same_key, "user_key: another key than this one")
        reasons = reasons.mask((reasons == "") & same_key & ~is_pseudonym, "user_id: not a pseudonym, as user_key says")
        return rows.assign(user_id=pseudonyms.mask(is_pseudonym, rows["user_id"])), reasons

    def _filter_consent(self, raw: pd.DataFrame) -> pd.DataFrame:
        column = self.params.consent_column
        if column is None or self.source.public or not CONTRACTS[self.table].has_users:
            return raw
        if f"{PREFIX}{column}" in raw:  # an impression's, from the request
            column = f"{PREFIX}{column}"
        if column not in raw:
            raise DataError(f"{self.table}: no column {column} (prepare.consent_column), only {', '.join(raw.columns)}")
        consented = privacy.has_consent(raw[column])
        self._drop("without consent", int((~consented).sum()))
        return raw[consented]

    def _name_group(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return copy with the column prepare.copy.group as `group`."""
        column = self.params.copy_.group
        if self.table != "copy" or (column not in raw and column == "group"):
            return raw
        if column not in raw:
            raise DataError(f"copy: no column {column} (prepare.copy.group), only {', '.join(map(str, raw.columns))}")
        return raw.assign(group=raw[column])

    def _drop(self, reason: str, count: int) -> None:
        if count:
            self.quality.dropped[reason] += count

    def _record_dropped_columns(self, raw: pd.DataFrame) -> None:
        known = {*CONTRACTS[self.table].select_columns(raw.columns), *contracts.FAULT_COLUMNS}
        self.quality.columns_dropped = sorted(
            {*self.quality.columns_dropped, *(str(name) for name in raw if name not in known)}
        )
        self._columns.update(map(str, raw))
        self.quality.columns_absent = [name for name in CONTRACTS[self.table].columns if name not in self._columns]

    def _mark_duplicates(self, rows: pd.DataFrame, reasons: pd.Series) -> pd.Series:
        """Add a reason to rows with the key of an earlier valid row."""
        key = CONTRACTS[self.table].key
        if key is None:
            return reasons
        claiming = (reasons == "") & ~np.isin(rows.index, self.repeated)
        first = ~self._duplicate_keys(rows.loc[claiming, key]).reindex(reasons.index, fill_value=True)
        return reasons.mask((reasons == "") & ~first, f"{key}: duplicate")

    def _split_valid(
        self, raw: pd.DataFrame, rows: pd.DataFrame, reasons: pd.Series, contents: pd.Series
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the valid rows and the quarantine, and count both."""
        valid = reasons == ""
        quarantine = self._quarantine(raw, rows[~valid], reasons[~valid])
        repeated = self._duplicate_contents(contents[valid])
        self.quality.duplicates += int(repeated.sum())
        if self.table == "creatives":
            same = self._duplicate_categories(contents[valid].astype("str") + " " + rows.loc[valid, "category"])
            self.quality.count_category_conflicts(rows.loc[valid & repeated & ~same, "creative_id"])
        self.quality.count_valid(rows[valid])
        self.quality.count_invalid(quarantine, rows.index[~valid].tolist())
        return rows[valid], quarantine

    def _quarantine(self, raw: pd.DataFrame, rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
        """Return invalid rows as text, user ids as pseudonyms, without pictures."""
        contract = CONTRACTS[self.table]
        shown = pd.DataFrame(index=rows.index)
        for name in contract.select_columns(raw.columns):
            if name not in raw or name == "user_id":
                values = rows[name] if name in rows else pd.Series(None, rows.index, "str")
            elif name != "image":
                values = raw.loc[rows.index, name]
            else:
                continue
            shown[name] = values.astype("str")
        places = raw[contracts.PLACE] if contracts.PLACE in raw else pd.Series(None, raw.index)
        shown["place"] = places[rows.index].astype("str")
        return shown.assign(**{REASON: reasons.astype("str")}).reset_index(drop=True)


FinishedRows = tuple[pd.DataFrame, pd.Series, pd.Series]  # rows, reasons, and a hash of each row's content


def _finish_creatives(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    target = task.picture_format or PictureFormat(pictures.SIZES[0], 1)
    converted = [_convert_picture(image, target, task.params) for image in rows["image"]]
    reasons = reasons.mask(reasons == "", pd.Series([picture.reason for picture in converted], reasons.index, "str"))
    contents = pd.Series([picture.content for picture in converted], rows.index, "uint64")
    derived = {
        f"{attributes.PREFIX}{name}": pd.Series(
            [picture.attributes.get(name) for picture in converted], rows.index, "str"
        )
        for name in task.params.derived_attributes
    }
    rows = _select_attributes(rows, task.params).assign(
        **derived,
        image=pd.Series([picture.png for picture in converted], rows.index, "object"),
        width=target.size,
        height=target.size,
        channels=target.channels,
        source=task.source.uri,
        licence=task.source.licence,
        split=splits.split_by_hash(contents),
    )
    if "kind" in rows:
        rows["split"] = rows["split"].mask(rows["kind"] == AD, AD)  # the policy alone reads every split
    return rows, reasons, contents


def _select_attributes(rows: pd.DataFrame, params: Prepare) -> pd.DataFrame:
    """Keep the attributes that prepare.attributes names. Raises ConfigError for one that is absent or derived."""
    names = [name for name in map(str, rows) if name.startswith(attributes.PREFIX)]
    known = {name.removeprefix(attributes.PREFIX): name for name in names}
    wanted = known.keys() if params.attributes is None else params.attributes
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"prepare.attributes: {name} is no attribute of the source; it has {', '.join(known) or 'none'}"
            )
        if name in params.derived_attributes:
            raise ConfigError(
                f"prepare.derived_attributes: {name} is an attribute of the source, too; "
                "leave it out here or in prepare.attributes"
            )
    return rows.drop(columns=[known[name] for name in known.keys() - set(wanted)])


@dataclass(frozen=True)
class _ConvertedPicture:
    """A picture as PNG, with a hash of its content and its derived attributes, or why it is invalid."""

    png: bytes | None = None
    content: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def _convert_picture(image: object, target: PictureFormat, params: Prepare) -> _ConvertedPicture:
    try:
        png, pixels = pictures.convert(image, target, params.max_pixels)
    except PictureError as error:
        return _ConvertedPicture(reason=str(error))
    seen = np.asarray(pictures.lay_on_white(Image.fromarray(pixels)).convert("RGB")) if target.channels == 4 else pixels
    derived: dict[str, str] = {name: attributes.DERIVED[name](seen) for name in params.derived_attributes}
    return _ConvertedPicture(png, splits.hash_content(pictures.identity_bytes(pixels)), derived)


def _finish_copy(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    del task
    hashes = [splits.hash_content(splits.normalise_text(text).encode()) for text in rows["text"].fillna("")]
    contents = pd.Series(hashes, rows.index, "uint64")
    groups = [splits.hash_content(f"group {group}".encode()) for group in rows["group"].dropna()]
    units = contents.copy()
    units[rows["group"].notna()] = np.array(groups, np.uint64)
    return rows.assign(split=splits.split_by_hash(units), body=bodies.keep_training_sentences), reasons, contents


def _finish_tunes(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    del task
    facts = tunes.read_facts(rows["notation"])
    reasons = reasons.mask(reasons == "", facts.pop("reason"))
    return rows.join(facts.drop(columns="content")), reasons, facts["content"]


def _finish_timed(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    """Split a table in time, and users into halves where every row has one."""
    period: Period = getattr(task.params, task.table)
    rows = mark_rows(rows, task.params.invalid_traffic) if task.table == "impressions" else rows
    task.quality.count_times(rows["timestamp"])
    rows, reasons = task.currencies(rows, reasons)
    late = rows["timestamp"] >= pd.Timestamp(period.end, tz="UTC")
    reasons = reasons.mask((reasons == "") & late, f"timestamp: not before prepare.{task.table}.end")
    content = rows.drop(columns=[name for name in (CONTRACTS[task.table].key, "candidates") if name in rows])
    contents = pd.util.hash_pandas_object(content, index=False)
    rows = rows.assign(split=splits.split_by_time(rows["timestamp"], period.holdout_start))
    if CONTRACTS[task.table].columns["user_id"].required:
        rows["half"] = splits.assign_halves(rows["user_id"])
    return rows, reasons, contents


def _finish_events(task: Preparation, rows: pd.DataFrame, reasons: pd.Series) -> FinishedRows:
    return _finish_timed(task, mark_refunds(rows), reasons)


FINISH: dict[str, Callable[[Preparation, pd.DataFrame, pd.Series], FinishedRows]] = {
    "creatives": _finish_creatives,
    "copy": _finish_copy,
    "events": _finish_events,
    "impressions": _finish_timed,
    "tunes": _finish_tunes,
}


def drop_ads(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of creatives that are no composed ads."""
    return rows[rows["kind"] != AD] if "kind" in rows else rows


def read_headers(images: Iterable[object], max_pixels: int) -> Iterator[PictureHeader]:
    """Yield the headers of the readable pictures."""
    for image in images:
        try:
            yield pictures.read_header(image, max_pixels)
        except PictureError:
            continue
