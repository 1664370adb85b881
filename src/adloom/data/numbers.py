"""Numbers in every notation that a source states."""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adloom.arrays import BoolArray, Float64Array
from adloom.config.value_formats import ValueFormat
from adloom.data.arrow_columns import is_text

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOTATIONS = (  # what replaces other spellings of a sign
    (r"^\((.*)\)$", r"-\1"),
    ("^(.*[0-9])\\s*[-\u2212]$", r"-\1"),
    ("^\u2212", "-"),
    (r"^([+-])\s+", r"\1"),
)
_BLANK = "[\\s\u00a0\u2007\u2009\u202f]"
_GROUP_SIGNS = {" ": _BLANK, "'": "['\u2019]", ".": r"\.", ",": ","}
_CURRENCY = re.compile(r"[$\u00a2-\u00a5\u20a0-\u20c0]|(?<![A-Za-z])([A-Z]{3}|kr|z\u0142|K\u010d)(?![A-Za-z])")
_CURRENCIES = {"\u20ac": "EUR", "$": "USD", "US$": "USD", "\u00a3": "GBP", "\u00a5": "JPY", "\u20b9": "INR"}
_GROUP_OR_DECIMALS = r"^[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+$"  # 1.234 is 1234 in some countries


def parse_number(values: pa.Array, value_format: ValueFormat) -> tuple[Float64Array, BoolArray]:
    """Return numbers, NaN where missing or unreadable, and whether each is unreadable."""
    if is_text(values):
        numbers = _parse_texts(values, value_format)
    elif _is_number(values.type):
        numbers = values.cast(pa.float64(), safe=False)
    else:
        numbers = pa.nulls(len(values), pa.float64())
    floats = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
    floats[np.isinf(floats)] = np.nan
    return floats, np.isnan(floats) & values.is_valid().to_numpy(zero_copy_only=False)


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return any(test(kind) for test in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean))


def _parse_texts(texts: pa.Array, value_format: ValueFormat) -> pa.Array:
    if value_format.decimal_sign == "." and not value_format.currency_symbols:
        try:
            return texts.cast(pa.float64())
        except pa.ArrowInvalid:  # some text has another notation
            pass
    plain = _remove_groups(normalise_signs(texts, value_format), value_format)
    return pc.if_else(pc.match_substring_regex(plain, _NUMBER), plain, None).cast(pa.float64())


def normalise_signs(texts: pa.Array, value_format: ValueFormat) -> pa.Array:
    """Return numbers without currency symbols and with a leading minus."""
    for symbol in _longest_first(value_format.currency_symbols):
        texts = pc.replace_substring(texts, symbol, "")
    no_cents = f"{_GROUP_SIGNS[value_format.decimal_sign]}\\s*[-\u2013\u2014]+\\s*$"  # as in 5,-
    texts = pc.replace_substring_regex(texts, no_cents, "")
    for pattern, replacement in _NOTATIONS:
        texts = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), pattern, replacement)
    return texts


def _remove_groups(texts: pa.Array, value_format: ValueFormat) -> pa.Array:
    """Return numbers with a decimal point and no groups; those with groups in other places become missing."""
    decimal = _GROUP_SIGNS[value_format.decimal_sign]
    if value_format.thousands is not None:
        sign = _GROUP_SIGNS[value_format.thousands]
        threes, lakhs = rf"[0-9]{{1,3}}({sign}[0-9]{{3}})+", rf"[0-9]{{1,2}}({sign}[0-9]{{2}})+{sign}[0-9]{{3}}"
        grouped = pc.match_substring_regex(texts, rf"^[+-]?({threes}|{lakhs})({decimal}[0-9]*)?$")
        whole = pc.replace_substring_regex(texts, sign, "")
        texts = pc.if_else(grouped, whole, pc.if_else(pc.equal(whole, texts), texts, None))
    if value_format.decimal_sign == ",":
        texts = pc.if_else(pc.match_substring(texts, "."), None, pc.replace_substring(texts, ",", "."))
    return texts


def find_decimals(texts: pa.Array, value_format: ValueFormat) -> tuple[bool, str | None]:
    """Return whether a point is the decimal sign beyond doubt, and an example where it may separate thousands."""
    plain = normalise_signs(texts.filter(pc.match_substring(texts, ".")), value_format)
    plain = plain.filter(pc.match_substring_regex(plain, f"{_NUMBER}|{_GROUP_OR_DECIMALS}"))
    grouped = pc.match_substring_regex(plain, _GROUP_OR_DECIMALS)
    examples = plain.filter(grouped)
    return len(examples) < len(plain), examples[0].as_py() if len(examples) else None


def find_currencies(texts: pa.Array, value_format: ValueFormat) -> set[str]:
    """Return the currencies of the currency symbols in numbers."""
    found = set()
    for symbol in _longest_first(value_format.currency_symbols):
        if pc.any(pc.match_substring(texts, symbol)).as_py():
            found.add(_CURRENCIES.get(symbol, symbol))
        texts = pc.replace_substring(texts, symbol, "")
    return found


def _longest_first(symbols: Sequence[str]) -> list[str]:
    return sorted(symbols, key=len, reverse=True)


def may_have_groups(texts: pa.Array, value_format: ValueFormat) -> BoolArray:
    """Return whether the point in each number may separate thousands, because the source does not state its signs."""
    if value_format.decimal is not None or value_format.thousands is not None:
        return np.zeros(len(texts), bool)
    grouped = pc.match_substring_regex(normalise_signs(texts, value_format), _GROUP_OR_DECIMALS)
    found: BoolArray = grouped.fill_null(False).to_numpy(zero_copy_only=False)
    return found


def explain_numbers(texts: pa.Array, value_format: ValueFormat) -> list[str]:
    """Return the next step for each text that is no number, else ""."""
    return [_explain_number(text, value_format) for text in texts.to_pylist()]


def _explain_number(text: str, value_format: ValueFormat) -> str:
    if text.startswith("#"):
        return "an error of a spreadsheet; correct the cell"
    if not re.search("[0-9]", text):
        return ""
    if "%" in text:
        return "write 12% as 0.12"
    if not value_format.currency_symbols and _CURRENCY.search(text):
        return "set currency_symbols"
    if sign := re.search(f"[0-9]({_BLANK}|['\u2019])[0-9]{{3}}", text):
        return 'set thousands: "\'"' if sign[1] in "'\u2019" else 'set thousands: " "'
    return _suggest_signs(re.findall("[.,]", text), value_format.decimal_sign)


def _suggest_signs(signs: Sequence[str], decimal_sign: str) -> str:
    if not signs or signs == [decimal_sign]:
        return ""
    if len(set(signs)) > 1:
        return f'set decimal: "{signs[-1]}" and thousands: "{signs[0]}"'
    return f'set thousands: "{signs[0]}"' if len(signs) > 1 else f'set decimal: "{signs[0]}" or thousands: "{signs[0]}"'
