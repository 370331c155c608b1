"""PURE. Telephone numbers as +E.164, judged by phonenumbers' tables.

A list of a hundred thousand numbers is judged while calls are being placed, so the common case
takes a short way that gives the library's own verdict in a fraction of its time.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

import phonenumbers

from services.dialer.errors import InvalidOrder

_PUNCTUATION = re.compile(r"[\s().-]+")
_INTERNATIONAL = re.compile(r"\+[0-9]{7,15}")
_COUNTRY_CODE_DIGITS = 3


class NumberCheck(StrEnum):
    """How strictly numbers are judged.

    `POSSIBLE` looks at the country code and the length, `VALID` also at the ranges in use, which
    are younger than any list of them.
    """

    POSSIBLE = "possible"
    VALID = "valid"


def e164(text: str, field_name: str, check: NumberCheck = NumberCheck.POSSIBLE) -> str:
    """Return a number as +E.164; blanks, dots, dashes and brackets may be in it.

    Raises:
        InvalidOrder: not international, of a country code or length that can't be, or (VALID)
            of no known range.
    """
    digits = _PUNCTUATION.sub("", text)
    if not _INTERNATIONAL.fullmatch(digits):
        raise InvalidOrder(field_name, "must be an international number such as +918000000001")
    if check is NumberCheck.POSSIBLE and _is_plainly_possible(digits):
        return digits
    return _judged_in_full(digits, field_name, check)


def country_code_of(number: str) -> int | None:
    """Return the country code of a number in E.164; None: it begins with none that is in use."""
    for length in range(1, _COUNTRY_CODE_DIGITS + 1):
        code = int(number[1 : 1 + length])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return code
    return None


def _judged_in_full(digits: str, field_name: str, check: NumberCheck) -> str:
    try:
        number = phonenumbers.parse(digits, None)
    except phonenumbers.NumberParseException as exc:
        raise InvalidOrder(field_name, "has no country code that is in use") from exc
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if written != digits or not phonenumbers.is_possible_number(number):
        raise InvalidOrder(field_name, "is too short, too long or otherwise no number there")
    if check is NumberCheck.VALID and not phonenumbers.is_valid_number(number):
        raise InvalidOrder(field_name, "is in no number range that is in use")
    return digits


def _is_plainly_possible(digits: str) -> bool:
    """Whether the library would find a number possible as it stands; False: ask the library.

    Without a leading zero and without what may be a national prefix, nothing is left that
    parsing could change: the length alone decides.
    """
    code = country_code_of(digits)
    if code is None:
        return False
    lengths, prefix = _plan(code)
    national = digits[1 + len(str(code)) :]
    if len(national) not in lengths or national.startswith("0"):
        return False
    return prefix is None or prefix.match(national) is None


@lru_cache(maxsize=256)  # there are fewer country codes in use
def _plan(code: int) -> tuple[frozenset[int], re.Pattern[str] | None]:
    """Return a country code's lengths of national numbers and its pattern of national prefixes."""
    region = phonenumbers.region_code_for_country_code(code)
    plan = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if plan is None or plan.general_desc is None:  # pragma: no cover - a code in use has a plan
        return frozenset(), None
    lengths = frozenset(plan.general_desc.possible_length)
    prefix = plan.national_prefix_for_parsing
    return lengths, re.compile(prefix) if prefix else None
