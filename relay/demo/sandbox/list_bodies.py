"""Request bodies about lists and consent as Klaviyo types them; unknown fields are errors (see ``bodies``)."""

from typing import Any, Literal

from msgspec import Raw

from relay.demo.sandbox.bodies import Body

OptIn = Literal["single_opt_in", "double_opt_in"]


class ListAttributes(Body):
    name: str
    opt_in_process: OptIn | None = None


class NewList(Body):
    type: Literal["list"]
    attributes: ListAttributes


class ListCreate(Body):
    """``POST /api/lists``"""

    data: NewList


class Member(Body):
    """A profile named by its id."""

    type: Literal["profile"]
    id: str


class Members(Body):
    """``POST`` and ``DELETE /api/lists/{id}/relationships/profiles``; each is a ``Member``"""

    data: list[Raw]


class ListNamed(Body):
    type: Literal["list"]
    id: str


class ListBox(Body):
    data: ListNamed | None = None


class JobRelationships(Body):
    list: ListBox | None = None


class Subscribed(Body):
    """Consent to one kind of message."""

    consent: Literal["SUBSCRIBED"]
    consented_at: str | None = None


class TrackingAllowed(Body):
    consent: Literal["SUBSCRIBED"]


class EmailSubscribed(Body):
    marketing: Subscribed | None = None
    open_tracking: TrackingAllowed | None = None
    click_tracking: TrackingAllowed | None = None


class SmsSubscribed(Body):
    marketing: Subscribed | None = None
    transactional: Subscribed | None = None


class ChannelsSubscribed(Body):
    """``whatsapp`` and ``push`` are typed loosely: the sandbox refuses them."""

    email: EmailSubscribed | None = None
    sms: SmsSubscribed | None = None
    whatsapp: dict[str, Any] | None = None
    push: dict[str, Any] | None = None


class SubscribeAttributes(Body):
    subscriptions: ChannelsSubscribed
    email: str | None = None
    phone_number: str | None = None
    age_gated_date_of_birth: str | None = None


class Subscriber(Body):
    type: Literal["profile"]
    attributes: SubscribeAttributes
    id: str | None = None


class Profiles(Body):
    """Each is a ``Subscriber`` or an ``Unsubscriber``."""

    data: list[Raw]


class SubscribeJobAttributes(Body):
    profiles: Profiles
    custom_source: str | None = None
    historical_import: bool | None = False


class SubscribeJobData(Body):
    type: Literal["profile-subscription-bulk-create-job"]
    attributes: SubscribeJobAttributes
    relationships: JobRelationships | None = None


class SubscribeJob(Body):
    """``POST /api/profile-subscription-bulk-create-jobs``"""

    data: SubscribeJobData


class Unsubscribed(Body):
    """Withdrawal of the consent to one kind of message."""

    consent: Literal["UNSUBSCRIBED"]


class EmailUnsubscribed(Body):
    marketing: Unsubscribed | None = None
    open_tracking: Unsubscribed | None = None
    click_tracking: Unsubscribed | None = None


class SmsUnsubscribed(Body):
    marketing: Unsubscribed | None = None
    transactional: Unsubscribed | None = None


class ChannelsUnsubscribed(Body):
    email: EmailUnsubscribed | None = None
    sms: SmsUnsubscribed | None = None
    whatsapp: dict[str, Any] | None = None
    push: dict[str, Any] | None = None


class UnsubscribeAttributes(Body):
    subscriptions: ChannelsUnsubscribed
    email: str | None = None
    phone_number: str | None = None


class Unsubscriber(Body):
    """Has no ``id``: only an address can be unsubscribed."""

    type: Literal["profile"]
    attributes: UnsubscribeAttributes


class UnsubscribeJobAttributes(Body):
    profiles: Profiles


class UnsubscribeJobData(Body):
    type: Literal["profile-subscription-bulk-delete-job"]
    attributes: UnsubscribeJobAttributes
    relationships: JobRelationships | None = None


class UnsubscribeJob(Body):
    """``POST /api/profile-subscription-bulk-delete-jobs``"""

    data: UnsubscribeJobData
