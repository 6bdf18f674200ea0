"""The operations the sandbox speaks, as a table: path, scope, rates, size and handler of each.

Rates and scopes are those of the OpenAPI document. A handler gets a ``Call`` that has passed the gate and
returns an answer or raises ``Refused``.
"""

from collections.abc import Callable

from msgspec import Struct
from starlette.responses import Response

from relay.demo.sandbox import events, filters, lists, people, subscriptions
from relay.demo.sandbox.answers import document
from relay.demo.sandbox.call import Call
from relay.demo.sandbox.limits import Rate
from relay.demo.sandbox.resources import iso

FIVE_MEGABYTES = 5_000_000


class Endpoint(Struct, frozen=True):
    """One operation. Several ``scopes`` are all needed; ``max_bytes`` bounds the body.

    With ``when`` it is the operation on this path only if a query parameter has this among its values: some answers
    cost more than the rest of their path.
    """

    method: str
    path: str
    scopes: tuple[str, ...]
    rate: Rate
    handler: Callable[[Call], Response]
    max_bytes: int = FIVE_MEGABYTES
    when: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """What is counted together."""
        return " ".join((self.method, self.path, *(self.when or ())))


def get_accounts(call: Call) -> Response:
    """The account of the key."""
    call.only_query("fields[account]")
    company = call.account.company_id
    attributes = {
        "test_account": True,
        "contact_information": {
            "default_sender_name": "Demo shop",
            "default_sender_email": "shop@example.com",
            "website_url": None,
            "organization_name": "Demo shop",
            "street_address": dict.fromkeys(("address1", "address2", "city", "region", "country", "zip")),
        },
        "industry": None,
        "timezone": "Etc/UTC",
        "preferred_currency": "EUR",
        "public_api_key": company,
        "locale": "en-US",
    }
    self_link = f"{call.base}/api/accounts/{company}/"
    account = {"type": "account", "id": company, "attributes": attributes, "links": {"self": self_link}}
    return document({"data": [account], "links": {"self": call.link({}), "prev": None, "next": None}})


def get_metrics(call: Call) -> Response:
    """The metrics that have had an event; there is no filter by their own name."""
    call.only_query("filter", "page[cursor]", "fields[metric]")
    conditions = filters.parse(call.query["filter"], filters.METRIC_FILTERS) if "filter" in call.query else []
    matching = [m for m in call.account.metrics.values() if all(c.values == ("API",) for c in conditions)]
    page, links = call.page(matching, 200)
    data = [
        {
            "type": "metric",
            "id": metric.id,
            "attributes": {
                "name": metric.name,
                "created": iso(metric.created),
                "updated": iso(metric.created),
                "integration": {"object": "integration", "id": "0rG4eQ", "name": "API", "category": "API"},
            },
            "relationships": {"flow-triggers": {"links": {"self": "", "related": ""}}},
            "links": {"self": f"{call.base}/api/metrics/{metric.id}/"},
        }
        for metric in page
    ]
    return document({"data": data, "links": links})


_FAST = Rate(350, 3500)
_MEDIUM = Rate(75, 750)
_BULK = Rate(10, 150)
_SLOW = Rate(3, 60)

_HEAVY = Rate(1, 15)
_LISTS = ("lists:write", "profiles:write")
_SUBSCRIPTIONS = (*_LISTS, "subscriptions:write")

ENDPOINTS = (
    Endpoint("POST", "/api/events", ("events:write",), _FAST, events.create_event),
    Endpoint("POST", "/api/event-bulk-create-jobs", ("events:write",), _BULK, events.bulk_create_events),
    Endpoint("POST", "/api/profile-import", ("profiles:write",), _MEDIUM, people.import_profile, 100_000),
    Endpoint("GET", "/api/profiles", ("profiles:read",), _MEDIUM, people.get_profiles),
    # The document names profiles:read alone; what is included is read under its own scope as well (the harder case).
    Endpoint(
        "GET",
        "/api/profiles/{id}",
        ("profiles:read", "lists:read"),
        _HEAVY,
        people.get_profile,
        when=("include", "lists"),
    ),
    Endpoint("GET", "/api/profiles/{id}", ("profiles:read",), _MEDIUM, people.get_profile),
    Endpoint("POST", "/api/profile-subscription-bulk-create-jobs", _SUBSCRIPTIONS, _MEDIUM, subscriptions.subscribe),
    Endpoint("POST", "/api/profile-subscription-bulk-delete-jobs", _SUBSCRIPTIONS, _MEDIUM, subscriptions.unsubscribe),
    Endpoint("GET", "/api/lists", ("lists:read",), _MEDIUM, lists.get_lists),
    Endpoint("POST", "/api/lists", ("lists:write",), Rate(10, 150, 150), lists.create_list),
    Endpoint(
        "GET",
        "/api/lists/{id}",
        ("lists:read",),
        _HEAVY,
        lists.get_list,
        when=("additional-fields[list]", "profile_count"),
    ),
    Endpoint("GET", "/api/lists/{id}", ("lists:read",), _MEDIUM, lists.get_list),
    Endpoint("POST", "/api/lists/{id}/relationships/profiles", _LISTS, _BULK, lists.add_profiles),
    Endpoint("DELETE", "/api/lists/{id}/relationships/profiles", _LISTS, _BULK, lists.remove_profiles),
    Endpoint("POST", "/api/data-privacy-deletion-jobs", ("data-privacy:write",), _SLOW, people.request_deletion),
    Endpoint("GET", "/api/accounts", ("accounts:read",), _HEAVY, get_accounts),
    Endpoint("GET", "/api/metrics", ("metrics:read",), _BULK, get_metrics),
    Endpoint("POST", "/client/events", (), _FAST, events.client_event),
    Endpoint("POST", "/client/event-bulk-create", (), _BULK, events.client_bulk),
    Endpoint("POST", "/client/profiles", (), _FAST, events.client_profile),
)
