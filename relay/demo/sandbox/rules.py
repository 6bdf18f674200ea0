"""What Klaviyo checks beyond the types: syntax of identifiers, sizes, dates, currencies.

Numbers: the OpenAPI document and the guide "Rate limits and error handling" (arrays, nesting).
Each function appends to ``faults``; nothing here knows the account.
"""

import re
from datetime import UTC, datetime
from typing import Any

import phonenumbers
from email_validator import EmailSyntaxError, validate_email

from relay.demo.sandbox import bodies
from relay.demo.sandbox.answers import Fault, Refused

MAX_PROPERTIES = 400
MAX_STRING_BYTES = 100_000
MAX_ARRAY = 4000
MAX_DEPTH = 10
MAX_METRIC_NAME = 127
MAX_EXTERNAL_ID = 64
MAX_BULK_EVENTS = 1000
YEAR = 366 * 86400
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()

#: ISO 4217, active codes of money in circulation.
CURRENCIES = frozenset(
    """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
    CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF
    IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
    MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED
    VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG""".split()  # noqa: SIM905 - a table to read, not a list to type
)

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?")
_IDENTIFIERS = ("email", "phone_number", "external_id", "kx", "anonymous_id")


def refuse(faults: list[Fault]) -> None:
    """Raise a 400 with all faults, if there are any."""
    if faults:
        raise Refused(400, *faults)


def check_email(value: str, where: str, faults: list[Fault]) -> None:
    """Syntax only; whether the domain exists is not asked."""
    try:
        # Reserved domains such as ``.test`` are well-formed; tests and demos live there.
        validate_email(value, check_deliverability=False, globally_deliverable=False, allow_smtputf8=True)
        well_formed = "." in value.rpartition("@")[2]
    except EmailSyntaxError:
        well_formed = False
    if not well_formed:
        faults.append(Fault(detail="Invalid email address", pointer=where))


def check_phone(value: str, where: str, faults: list[Fault]) -> None:
    """E.164 and a length its country knows. (Klaviyo forgives a bad phone beside a good e-mail; we do not.)"""
    possible = False
    if _E164.fullmatch(value):
        try:
            possible = phonenumbers.is_possible_number(phonenumbers.parse(value))
        except phonenumbers.NumberParseException:
            possible = False
    if not possible:
        detail = "Invalid phone number format (Example of a valid format: +12345678901)"
        faults.append(Fault(detail=detail, pointer=where))


def check_profile(
    profile: bodies.Profile | bodies.UpsertProfile, where: str, faults: list[Fault], *, revision: str | None = None
) -> None:
    """Identifiers, their syntax, and the sizes of custom properties.

    ``where`` points at the profile's resource object. With ``revision`` given (single events), ``meta`` is
    refused before 2026-10-15, when it moved to this place from ``attributes.meta``.
    """
    attributes = profile.attributes
    at = f"{where}/attributes"
    given = [name for name in _IDENTIFIERS if getattr(attributes, name, None)]
    if profile.id is None and not given:
        faults.append(Fault(detail="At least one profile identifier is required.", pointer=at))
    if profile.id == "":
        faults.append(Fault(detail="'id' may not be blank.", pointer=f"{where}/id"))
    if isinstance(attributes.email, str):
        check_email(attributes.email, f"{at}/email", faults)
    if isinstance(attributes.phone_number, str):
        check_phone(attributes.phone_number, f"{at}/phone_number", faults)
    if isinstance(attributes.external_id, str) and len(attributes.external_id) > MAX_EXTERNAL_ID:
        detail = f"'external_id' may have at most {MAX_EXTERNAL_ID} characters."
        faults.append(Fault(detail=detail, pointer=f"{at}/external_id"))
    if isinstance(attributes.properties, dict):
        check_value(attributes.properties, f"{at}/properties", faults)
    if profile.meta is not None and profile.meta.patch_properties is not None:
        _check_patch(profile.meta.patch_properties, f"{where}/meta/patch_properties", faults)
    if profile.meta is not None and revision is not None and revision < "2026-10-15":
        faults.append(Fault(detail="'meta' is not a valid field for this resource.", pointer=f"{where}/meta"))


def _check_patch(patch: bodies.PatchProperties, where: str, faults: list[Fault]) -> None:
    """Arrays are patched with "a simple value or values" (API reference)."""
    for name in ("append", "unappend"):
        for key, value in (getattr(patch, name) or {}).items():
            values = value if isinstance(value, list) else [value]
            if any(one is None or isinstance(one, dict | list) for one in values):
                pointer = f"{where}/{name}{bodies.pointer(key)}"
                faults.append(Fault(detail="A simple value or a list of simple values is required.", pointer=pointer))


def check_event(event: bodies.BulkEntryAttributes, where: str, faults: list[Fault], now: float) -> None:
    """One event's own fields; ``where`` points at its attributes, ``now`` is in seconds since the epoch."""
    name = event.metric.data.attributes.name
    if not 1 <= len(name) <= MAX_METRIC_NAME or not name.strip():
        detail = f"Metric name must have 1 to {MAX_METRIC_NAME} characters."
        faults.append(Fault(detail=detail, pointer=f"{where}/metric/data/attributes/name"))
    if len(event.properties) > MAX_PROPERTIES:
        detail = f"Events may have at most {MAX_PROPERTIES} properties."
        faults.append(Fault(detail=detail, pointer=f"{where}/properties"))
    check_value(event.properties, f"{where}/properties", faults)
    if event.time is not None:
        seconds = timestamp(event.time)
        if seconds is None:
            faults.append(Fault(detail="Invalid ISO 8601 date and time.", pointer=f"{where}/time"))
        elif not EARLIEST <= seconds <= now + YEAR:
            detail = "Time must be after 1990 and at most one year in the future."
            faults.append(Fault(detail=detail, pointer=f"{where}/time"))
    if event.value_currency is not None and event.value_currency not in CURRENCIES:
        faults.append(Fault(detail="Invalid ISO 4217 currency code.", pointer=f"{where}/value_currency"))
    if event.unique_id == "":
        faults.append(Fault(detail="'unique_id' may not be blank.", pointer=f"{where}/unique_id"))


def check_value(value: Any, where: str, faults: list[Fault], depth: int = 1) -> None:
    """Sizes of a JSON value: strings, arrays, nesting. ``depth`` 1 is the properties object itself."""
    if isinstance(value, str):
        if len(value) * 4 > MAX_STRING_BYTES and len(value.encode()) > MAX_STRING_BYTES:
            faults.append(Fault(detail="String is larger than 100 KB.", pointer=where))
        return
    if not isinstance(value, dict | list):
        return
    if depth > MAX_DEPTH:
        faults.append(Fault(detail=f"Objects may be nested at most {MAX_DEPTH} levels deep.", pointer=where))
        return
    if isinstance(value, list) and len(value) > MAX_ARRAY:
        faults.append(Fault(detail=f"Arrays may have at most {MAX_ARRAY} items.", pointer=where))
        return
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        check_value(item, where + bodies.pointer(key), faults, depth + 1)


def timestamp(text: str) -> float | None:
    """Seconds since the epoch of an ISO 8601 date with time (UTC if it names no zone), cut to whole seconds."""
    if not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return float(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
