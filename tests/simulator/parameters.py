"""Every number of the simulated world: one table, each row with its unit and where it comes from.

"assumed" means that nobody has measured it for us: a plausible figure for a shop with a newsletter. Change the table to
see what your own figures would do. Only the plots of the hazards (``stories``) have times of their own.
"""

from typing import NamedTuple


class Parameter(NamedTuple):
    name: str
    value: float
    unit: str
    source: str


_ITP = "WebKit, Tracking Prevention in WebKit"
_STATUS = "cookiestatus.com"
_KLAVIYO_COOKIES = "Klaviyo help, About cookies"
_KLAVIYO_BACKFILL = "Klaviyo help, Anonymous visitor activity backfill"
_BAYMARD = "Baymard Institute: about 70 % of carts are abandoned"
_ASSUMED = "assumed"
_HOUSEHOLDS = "share of households"
_ALONE = "0: told alone, and rare"
_EVERYDAY = "0: happens in everyday life already"

TABLE = (
    # What browsers keep
    Parameter("safari_script_days", 7, "days", _ITP),
    Parameter("safari_decorated_script_days", 1, "days", _ITP),
    Parameter("safari_server_days", 400, "days", _ITP),
    Parameter("safari_sibling_days", 7, "days", "WebKit source, NetworkTaskCocoa.mm"),
    Parameter("safari_idle_days", 7, "days", _ITP),
    Parameter("brave_script_days", 7, "days", _STATUS),
    Parameter("brave_server_days", 180, "days", _STATUS),
    Parameter("other_days", 400, "days", "rfc6265bis draft: most that a cookie may ask for"),
    # Klaviyo's own script
    Parameter("klaviyo_cookie_days", 730, "days", _KLAVIYO_COOKIES),
    Parameter("klaviyo_queue_days", 14, "days", _KLAVIYO_BACKFILL),
    Parameter(
        "klaviyo_hears_checkout", 0.3, "share of checkouts", "assumed; Klaviyo: on most platforms, not Shopify's"
    ),
    Parameter("klaviyo_is_late", 0.3, "share of page loads", _ASSUMED),
    Parameter("flow_hours", 24, "hours", "the relay's default: older events start no flow"),
    # Devices and browsers
    Parameter("phone", 0.7, "share of visits", _ASSUMED),
    Parameter("phone_is_apple", 0.55, "share of phones", _ASSUMED),
    Parameter("desktop_safari", 0.2, "share of desktops", _ASSUMED),
    Parameter("desktop_firefox", 0.08, "share of desktops", _ASSUMED),
    Parameter("desktop_brave", 0.03, "share of desktops", _ASSUMED),
    Parameter("has_desktop", 0.6, "share of people", _ASSUMED),
    Parameter("firefox_strict", 0.15, "share of Firefox", _ASSUMED),
    Parameter("blocker_desktop", 0.25, "share of desktops", "assumed; surveys say a quarter to a third"),
    Parameter("blocker_phone", 0.08, "share of phones", _ASSUMED),
    Parameter("private_window", 0.04, "share of visits", _ASSUMED),
    Parameter("clears_cookies", 0.02, "share of visits", _ASSUMED),
    Parameter("other_network", 0.35, "share of a phone's visits", _ASSUMED),
    Parameter("carrier_addresses", 12, "addresses", "assumed: carrier-grade NAT, many customers on each"),
    Parameter("clock_is_wrong", 0.03, "share of browsers", "assumed: by up to four hours"),
    Parameter("works_in_an_office", 0.3, "share of people", _ASSUMED),
    Parameter("desktop_at_the_office", 0.5, "share of their desktop's visits", _ASSUMED),
    # Consent
    Parameter("consent_denied", 0.2, "share of browsers", _ASSUMED),
    Parameter("consent_unanswered", 0.1, "share of browsers", _ASSUMED),
    Parameter("gpc", 0.03, "share of browsers", _ASSUMED),
    # People
    Parameter("days", 60, "days", "length of the simulation"),
    Parameter("household_of_two", 0.1, _HOUSEHOLDS, "assumed: both shop here"),
    Parameter("shares_a_tablet", 0.05, "share of households of two", _ASSUMED),
    Parameter("is_subscriber", 0.4, "share of people", _ASSUMED),
    Parameter("has_account", 0.35, "share of people", _ASSUMED),
    Parameter("days_between_visits", 9, "days, mean", _ASSUMED),
    # A visit
    Parameter("from_mail", 0.3, "share of a subscriber's visits", _ASSUMED),
    Parameter("from_ad", 0.3, "share of the other visits", _ASSUMED),
    Parameter("from_free_listing", 0.1, "share of the other visits", _ASSUMED),
    Parameter("ad_in_app", 0.4, "share of a phone's ad visits", _ASSUMED),
    Parameter("opens_in_browser", 0.2, "share of in-app visits", _ASSUMED),
    Parameter("minutes_to_the_browser", 1.5, "minutes, mean", _ASSUMED),
    Parameter("seconds_on_a_page", 50, "seconds, mean", _ASSUMED),
    Parameter("pages_after_the_cart", 4, "pages, at most", _ASSUMED),
    Parameter("minutes_at_the_checkout", 4, "minutes, mean", _ASSUMED),
    Parameter("signs_up", 0.06, "share of visits of people without newsletter", _ASSUMED),
    Parameter("logs_in", 0.2, "share of visits of people with account", _ASSUMED),
    Parameter("signs_out", 0.1, "share of logins", _ASSUMED),
    Parameter("adds_to_cart", 0.3, "share of visits", _ASSUMED),
    Parameter("starts_checkout", 0.45, "share of carts", "assumed, so that in all " + _BAYMARD),
    Parameter("completes_order", 0.6, "share of checkouts", "assumed, so that in all " + _BAYMARD),
    Parameter("order_seen_by_browser", 0.7, "share of orders", "assumed; the shop's server reports all of them"),
    Parameter("tab_closed_at_once", 0.02, "share of identifications", _ASSUMED),
    # How often each hazard befalls a household in all these weeks; the rest live everyday lives.
    Parameter(
        "share_forwarded_link",
        0.0001,
        _HOUSEHOLDS,
        "assumed: forwarded 1 %, then opened, Klaviyo blocked, cart left, no address",
    ),
    Parameter("share_forwarded_link_then_address", 0.001, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_viral_link", 0.0001, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_viral_click_id", 0.0005, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_shared_free_listing", 0.003, _HOUSEHOLDS, _ASSUMED),
    Parameter(
        "share_sofa_link",
        0.00002,
        _HOUSEHOLDS,
        "assumed: passed on 0.2 % of in-app ads, one network, one system, one known",
    ),
    Parameter("share_link_to_a_friend", 0.003, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_klaviyo_knows", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_klaviyo_is_late", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_signs_up_at_once", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_signs_up_late", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_closes_the_tab", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_two_tabs", 0.01, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_family_tablet", 0.003, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_next_on_the_tablet", 0.002, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_signed_out", 0.003, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_silent_partner", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_kiosk", 0.0002, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_shop_staff", 0.0005, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_gift", 0.02, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_guest_at_the_laptop", 0.003, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_typed_wrong", 0.004, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_cart_link", 0.0003, _HOUSEHOLDS, "assumed: sent 1 %, then opened, added to, no address"),
    Parameter("share_analytics_link", 0.00002, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_typed_another", 0.0001, _HOUSEHOLDS, _ASSUMED),
    Parameter(
        "share_typed_wrong_for_good",
        0.00005,
        _HOUSEHOLDS,
        "assumed: 0.5 % of checkouts, of which 2 % hit somebody's mailbox",
    ),
    Parameter("share_buys_at_once", 0.01, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_buys_elsewhere", 0.01, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_says_no", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_says_nothing", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_privacy_control", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_changes_their_mind", 0.002, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_signed_out_but_klaviyo_remembers", 0.0005, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_other_readers_mail", 0.002, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_signs_up_mother", 0.0001, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_lost_answers", 0.02, _HOUSEHOLDS, _ASSUMED),
    Parameter("share_terminals_second_customer", 0, _HOUSEHOLDS, _ALONE),
    Parameter("share_morning_and_evening", 0, _HOUSEHOLDS, _EVERYDAY),
    Parameter("share_between_two_logins", 0, _HOUSEHOLDS, _ALONE),
)

_VALUES = {row.name: row.value for row in TABLE}
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def parameter(name: str) -> float:
    """The value of one row. KeyError for a name that the table does not have."""
    return _VALUES[name]
