"""Request bodies as Klaviyo types them (OpenAPI document, with the changes of revision 2026-10-15).

Stricter than JSON Schema on purpose: an unknown field is an error, so that a slip of the pen in our
mapping fails a test instead of disappearing behind a 202.
"""

import re
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from relay.demo.sandbox.answers import Fault, Refused, invalid

#: A field that may be absent (left alone) or null (cleared).
Text = str | UnsetType | None


class Body(Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of every object in a request."""


class Location(Body):
    address1: Text = UNSET
    address2: Text = UNSET
    city: Text = UNSET
    country: Text = UNSET
    latitude: str | float | UnsetType | None = UNSET
    longitude: str | float | UnsetType | None = UNSET
    region: Text = UNSET
    zip: Text = UNSET
    timezone: Text = UNSET
    ip: Text = UNSET


class UpsertAttributes(Body):
    """Attributes of a profile in profile-import: no ``anonymous_id`` there since 2025-10-15."""

    email: Text = UNSET
    phone_number: Text = UNSET
    external_id: Text = UNSET
    kx: Text = field(default=UNSET, name="_kx")
    first_name: Text = UNSET
    last_name: Text = UNSET
    organization: Text = UNSET
    locale: Text = UNSET
    title: Text = UNSET
    image: Text = UNSET
    location: Location | UnsetType | None = UNSET
    properties: dict[str, Any] | UnsetType | None = UNSET


class ProfileAttributes(UpsertAttributes):
    """Attributes of a profile in events and in the browser's calls."""

    anonymous_id: Text = UNSET


class PatchProperties(Body):
    append: dict[str, Any] | None = None
    unappend: dict[str, Any] | None = None
    unset: str | list[str] | None = None


class PatchIdentifiers(Body):
    append: dict[str, Any] = {}
    unappend: dict[str, Any] = {}


class ProfileMeta(Body):
    patch_properties: PatchProperties | None = None
    patch_identifiers: PatchIdentifiers | None = None


class UpsertProfile(Body):
    type: Literal["profile"]
    attributes: UpsertAttributes
    id: str | None = None
    meta: ProfileMeta | None = None


class Profile(Body):
    type: Literal["profile"]
    attributes: ProfileAttributes
    id: str | None = None
    meta: ProfileMeta | None = None


class ProfileBox(Body):
    data: Profile


class ProfileUpsert(Body):
    """``POST /api/profile-import``"""

    data: UpsertProfile


class MetricAttributes(Body):
    name: str
    service: str | None = None


class Metric(Body):
    type: Literal["metric"]
    attributes: MetricAttributes


class MetricBox(Body):
    data: Metric


class BulkEntryAttributes(Body):
    """An event inside a bulk call: its profile stands one level up."""

    properties: dict[str, Any]
    metric: MetricBox
    time: str | None = None
    value: int | float | None = None
    value_currency: str | None = None
    unique_id: str | None = None
    backfill: bool | None = False


class EventAttributes(BulkEntryAttributes, kw_only=True):
    profile: ProfileBox


class Event(Body):
    type: Literal["event"]
    attributes: EventAttributes


class EventCreate(Body):
    """``POST /api/events`` and ``POST /client/events``"""

    data: Event


class BulkEntry(Body):
    type: Literal["event"]
    attributes: BulkEntryAttributes


class BulkEntries(Body):
    """Each is a ``BulkEntry``, decoded on its own so that every bad one can be named."""

    data: list[Raw]


class BulkAttributes(Body):
    profile: ProfileBox
    events: BulkEntries
    backfill: bool | None = False


class Bulk(Body):
    type: Literal["event-bulk-create"]
    attributes: BulkAttributes


class ClientBulkCreate(Body):
    """``POST /client/event-bulk-create``: the events of one profile"""

    data: Bulk


class BulkBox(Body):
    """Each is a ``Bulk``."""

    data: list[Raw]


class BulkJobAttributes(Body):
    events_bulk_create: BulkBox = field(name="events-bulk-create")


class BulkJob(Body):
    type: Literal["event-bulk-create-job"]
    attributes: BulkJobAttributes


class BulkCreateJob(Body):
    """``POST /api/event-bulk-create-jobs``"""

    data: BulkJob


class ClientProfile(Body):
    """``POST /client/profiles``"""

    data: Profile


class DeletionIdentifiers(Body):
    email: str | None = None
    phone_number: str | None = None


class DeletionProfile(Body):
    type: Literal["profile"]
    attributes: DeletionIdentifiers
    id: str | None = None


class DeletionProfileBox(Body):
    data: DeletionProfile


class DeletionAttributes(Body):
    profile: DeletionProfileBox


class Deletion(Body):
    type: Literal["data-privacy-deletion-job"]
    attributes: DeletionAttributes


class DeletionJob(Body):
    """``POST /api/data-privacy-deletion-jobs``"""

    data: Deletion


AnyBody = TypeVar("AnyBody", bound=Body)

_WHERE = re.compile(r" - at `(?:key in )?\$(?P<path>.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"missing required field `(.+?)`")
_UNKNOWN = re.compile(r"unknown field `(.+?)`")


def decode(raw: bytes, kind: type[AnyBody]) -> AnyBody:
    """The typed body; ``Refused`` (400) with a JSON pointer to the first place that does not fit."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(400, _located(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("Invalid JSON body.", "/data") from None


def items(raws: list[Raw], kind: type[AnyBody], where: str, faults: list[Fault]) -> list[tuple[str, AnyBody]]:
    """The good items of the array at ``where``, each with its pointer; every bad one adds to ``faults``."""
    good = []
    for index, raw in enumerate(raws):
        at = f"{where}/{index}"
        try:
            good.append((at, msgspec.json.decode(raw, type=kind)))
        except msgspec.ValidationError as error:
            faults.append(_located(str(error), at))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            faults.append(Fault(detail="Invalid JSON body.", pointer=at))
    return good


def _located(message: str, at: str = "") -> Fault:
    where = _WHERE.search(message)
    steps = [name or index for name, index in _STEP.findall(where["path"])] if where else []
    what = message[: where.start()] if where else message
    detail = f"{what}."
    if missing := _MISSING.search(what):
        steps.append(missing[1])
        detail = f"'{missing[1]}' is a required field."
    elif unknown := _UNKNOWN.search(what):
        steps.append(unknown[1])
        detail = f"'{unknown[1]}' is not a valid field for this resource."
    return Fault(detail=detail, pointer=at + "".join(map(pointer, steps)) or "/")


def pointer(*steps: str | int) -> str:
    """A JSON pointer (RFC 6901) from its steps."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps) or "/"
