"""What the relay knows of one shop."""

from collections.abc import Mapping

from msgspec import Struct

from relay.config.choices import Behaviour, Consent, Forward, OrderEvent, PageEvents, Platform
from relay.config.secret import Secret


class Site(Struct, frozen=True, kw_only=True):
    """One shop: its keys, origins, Klaviyo account and policies. Durations in seconds."""

    site_id: str
    write_key: str
    server_key: Secret | None = None
    allowed_origins: frozenset[str] = frozenset()
    klaviyo_api_key: Secret | None = None
    klaviyo_url: str = "https://a.klaviyo.com"
    metric_suffix: str = " - Backup Flow"
    forward: Forward = Forward.BACKUP
    hold_seconds: float = 180.0
    consent: Consent = Consent.AUTO
    platform: Platform = Platform.AUTO
    cookie_domain: str | None = None
    #: Events of a visitor found within this time after the action start a flow; later ones are only recorded.
    abandonment_seconds: float = 24 * 3600.0
    #: How long an event waits for its person at all (14 days: Klaviyo's own queue of anonymous events).
    waiting_seconds: float = 14 * 86400.0
    #: Country for phone numbers written without a prefix (ISO 3166 alpha-2).
    country: str | None = None
    #: The e-mail address is the key of a profile: the customer ID is never sent as ``external_id``.
    email_primary: bool = True
    #: Events of visitors nobody knows are filed under an anonymous ID instead of waiting.
    anonymous_id: bool = False
    #: Whether Klaviyo may get profiles it does not have, and changes to those it has (off needs ``profiles:read``).
    create_profiles: bool = True
    update_profiles: bool = True
    #: The list that people join when a call names none.
    list_id: str | None = None
    #: What an opt-in is for when it names no channel, of ``email`` and ``sms``.
    subscribe_channels: tuple[str, ...] = ("email",)
    page_events: PageEvents = PageEvents.OFF
    #: Whether a page's event says which page it was.
    page_details: bool = True
    #: Names of the shop's own events that may become metrics, beside the standard ones; None: any, up to the limit.
    metrics: frozenset[str] | None = None
    behaviour: Behaviour = Behaviour.OFF
    #: Below this lower bound of its measured precision a class of evidence is not trusted (``identity.measure``).
    min_precision: float = 0.6
    #: How many values of a kind one person may have, where it is not ``identity.guards``' number.
    identifier_limits: Mapping[str, int] = {}
    #: Names of the events that may go to Klaviyo (None: all) and of those that may not, whatever case and spacing.
    events_allow: frozenset[str] | None = None
    events_block: frozenset[str] = frozenset()
    order_event: OrderEvent = OrderEvent.PLACED_ORDER
    #: Whether the caller's own objects among the properties are taken apart into ``outer.inner``.
    flatten_properties: bool = False
    #: Where links of e-mails lead to that name no origin; the first of the allowed ones.
    home_origin: str | None = None
    #: What Shopify signs with: webhooks, and requests through the app proxy. Any of them counts.
    shopify_secrets: tuple[Secret, ...] = ()
    #: ``shop.myshopify.com``: tells the shops of several sites apart.
    shopify_domain: str | None = None
    #: The profile property that holds the token for links of e-mails; None: none is made.
    link_property: str | None = None
    #: How long such a token is good.
    link_seconds: float = 30 * 86400.0
    #: The parameter of a landing URL that holds Klaviyo's ID of the recipient; None: none is read.
    profile_parameter: str | None = None

    @property
    def home(self) -> str | None:
        """The origin of the shop's pages that comes first."""
        return self.home_origin or min(self.allowed_origins, default=None)
