"""The settings that are one of a few words."""

from enum import StrEnum


class Forward(StrEnum):
    """What of a resolved visitor's events goes to Klaviyo."""

    BACKUP = "backup"  #: only what Klaviyo's own script could not file
    ALL = "all"  #: everything
    SHADOW = "shadow"  #: like backup, but recorded with ``backfill: true``: no flow starts


class Consent(StrEnum):
    """What the relay does without a consent signal."""

    AUTO = "auto"  #: needs one where the tag found a consent platform on the page
    REQUIRED = "required"  #: always needs one
    ASSUMED = "assumed"  #: goes on unless consent is denied


class Platform(StrEnum):
    """What runs the shop: its tag is without what listens to the code of other platforms."""

    AUTO = "auto"  #: any: the tag finds out on the page
    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"
    MAGENTO = "magento"
    BIGCOMMERCE = "bigcommerce"
    OTHER = "other"  #: none of these


class Behaviour(StrEnum):
    """What is made of visitors that behave alike."""

    OFF = "off"  #: nothing is kept to tell
    SUSPECT = "suspect"  #: who an unknown visitor may be is shown and measured, and never sent


class PageEvents(StrEnum):
    """Which metric a page view becomes."""

    OFF = "off"
    ACTIVE_ON_SITE = "active_on_site"
    VIEWED_PAGE = "viewed_page"


class OrderEvent(StrEnum):
    """The metric that an order becomes."""

    PLACED_ORDER = "placed_order"  #: Klaviyo's own word, which its flows and reports read
    ORDER_COMPLETED = "order_completed"  #: as it is in the Segment spec
