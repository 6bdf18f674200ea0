"""What Shopify sends, in the shapes of its own samples and of webhooks recorded in public: every field that matters
here and enough of the others. A test names only what it is about.
"""

import base64
import hmac
from typing import Any
from urllib.parse import urlencode

Payload = dict[str, Any]

SECRET = "hush-hush-secret-of-the-app"
DOMAIN = "shop.myshopify.com"
CART_TOKEN = "088f00482e00dfb0628480ccde9afcdd"
CHECKOUT_TOKEN = "640ac4541c951dfd7641899c3102c0b1"


def money(amount: str, currency: str = "AUD") -> Payload:
    one = {"amount": amount, "currency_code": currency}
    return {"shop_money": one, "presentment_money": one}


def line(**changes: Any) -> Payload:
    default = {
        "id": 6456927060117,
        "admin_graphql_api_id": "gid://shopify/LineItem/6456927060117",
        "variant_id": 37319198802069,
        "product_id": 6122640146581,
        "title": "Classic Fountain Pen",
        "name": "Classic Fountain Pen - Fine / Bordeaux",
        "variant_title": "Fine / Bordeaux",
        "quantity": 2,
        "sku": "",
        "vendor": "Kaweco",
        "price": "22.50",
        "price_set": money("22.50"),
        "total_discount": "0.00",
        "discount_allocations": [],
        "properties": [],
        "gift_card": False,
        "requires_shipping": True,
        "taxable": True,
        "tax_lines": [],
        "grams": 0,
    }
    return default | changes


def address(**changes: Any) -> Payload:
    default = {
        "first_name": "Ann",
        "last_name": "Lee",
        "address1": "39 London Circuit",
        "address2": "",
        "company": None,
        "city": "Canberra",
        "province": "Australian Capital Territory",
        "province_code": "ACT",
        "country": "Australia",
        "country_code": "AU",
        "zip": "2601",
        "phone": None,
        "latitude": -35.2793791,
        "longitude": 149.1268246,
        "name": "Ann Lee",
    }
    return default | changes


def customer(**changes: Any) -> Payload:
    default = {
        "id": 4206822293653,
        "admin_graphql_api_id": "gid://shopify/Customer/4206822293653",
        "email": "ann@mail.com",
        "phone": None,
        "first_name": "Ann",
        "last_name": "Lee",
        "accepts_marketing": True,
        "email_marketing_consent": {"state": "subscribed", "opt_in_level": "single_opt_in"},
        "verified_email": True,
        "state": "enabled",
        "tags": "",
        "default_address": address(),
    }
    return default | changes


def order(**changes: Any) -> Payload:
    """``orders/create`` of the online store, and ``orders/cancelled``."""
    default = {
        "id": 2998557704341,
        "admin_graphql_api_id": "gid://shopify/Order/2998557704341",
        "app_id": 580111,
        "browser_ip": "203.0.113.7",
        "buyer_accepts_marketing": True,
        "cancel_reason": None,
        "cancelled_at": None,
        "cart_token": CART_TOKEN,
        "checkout_id": 16026339803285,
        "checkout_token": CHECKOUT_TOKEN,
        "client_details": {"browser_ip": "203.0.113.7", "user_agent": "Mozilla/5.0"},
        "confirmed": True,
        "contact_email": "ann@mail.com",
        "created_at": "2027-01-15T07:59:00+00:00",
        "currency": "AUD",
        "customer": customer(),
        "customer_locale": "en",
        "device_id": None,
        "discount_applications": [],
        "discount_codes": [{"code": "WELCOME", "amount": "5.00", "type": "fixed_amount"}],
        "email": "ann@mail.com",
        "financial_status": "paid",
        "landing_site": "/",
        "line_items": [line()],
        "location_id": None,
        "name": "#1030",
        "note": "ring twice",
        "note_attributes": [],
        "number": 30,
        "order_number": 1030,
        "order_status_url": "https://shop.myshopify.com/48379854997/orders/ee2/authenticate?key=a-secret-of-the-buyer",
        "phone": None,
        "presentment_currency": "AUD",
        "processed_at": "2027-01-15T07:59:00+00:00",
        "refunds": [],
        "shipping_address": address(),
        "billing_address": address(),
        "shipping_lines": [{"title": "Standard", "price": "10.00"}],
        "source_name": "web",
        "subtotal_price": "40.00",
        "tags": "",
        "test": False,
        "token": "ee29266b0355ee9d6fe89d1b23b1e46e",
        "total_discounts": "5.00",
        "total_line_items_price": "45.00",
        "total_price": "54.50",
        "total_shipping_price_set": money("10.00"),
        "total_tax": "4.50",
        "updated_at": "2027-01-15T07:59:01+00:00",
        "user_id": None,
    }
    return default | changes


def checkout(**changes: Any) -> Payload:
    """``checkouts/create`` and ``checkouts/update``."""
    default = {
        "id": 981820079255243537,
        "token": CHECKOUT_TOKEN,
        "cart_token": CART_TOKEN,
        "email": "ann@mail.com",
        "gateway": None,
        "buyer_accepts_marketing": False,
        "buyer_accepts_sms_marketing": False,
        "sms_marketing_phone": None,
        "created_at": "2027-01-15T07:50:00+00:00",
        "updated_at": "2027-01-15T07:58:00+00:00",
        "completed_at": None,
        "closed_at": None,
        "landing_site": None,
        "note": None,
        "note_attributes": [],
        "referring_site": None,
        "shipping_lines": [],
        "shipping_address": address(),
        "currency": "AUD",
        "phone": None,
        "customer_locale": "en",
        "line_items": [
            line(key="a", presentment_title="Classic Fountain Pen", variant_price="22.50", line_price="45.00")
        ],
        "name": "#981820079255243537",
        "abandoned_checkout_url": "https://shop.myshopify.com/548380009/checkouts/640ac/recover?key=example",
        "discount_codes": [],
        "tax_lines": [],
        "presentment_currency": "AUD",
        "source_name": "web",
        "total_line_items_price": "45.00",
        "total_tax": "0.00",
        "total_discounts": "0.00",
        "subtotal_price": "45.00",
        "total_price": "45.00",
        "device_id": None,
        "user_id": None,
        "location_id": None,
        "customer": customer(),
    }
    return default | changes


def refund(**changes: Any) -> Payload:
    """``refunds/create``: it names neither a customer nor an address."""
    default = {
        "id": 890088186047892319,
        "admin_graphql_api_id": "gid://shopify/Refund/890088186047892319",
        "order_id": 2998557704341,
        "created_at": "2027-01-15T08:00:00+00:00",
        "processed_at": "2027-01-15T08:00:00+00:00",
        "note": "Things were damaged",
        "user_id": 548380009,
        "restock": False,
        "refund_line_items": [
            {"id": 1, "quantity": 1, "line_item_id": 6456927060117, "subtotal": 22.5, "line_item": line()}
        ],
        "transactions": [
            {
                "id": 245135271310201194,
                "order_id": 2998557704341,
                "kind": "refund",
                "status": "success",
                "amount": "22.50",
                "currency": "AUD",
                "gateway": "shopify_payments",
                "test": False,
            }
        ],
        "order_adjustments": [],
    }
    return default | changes


def merged(**changes: Any) -> Payload:
    """``customers/merge``."""
    default: Payload = {
        "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/4206822293653",
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/77",
        "admin_graphql_api_job_id": None,
        "status": "completed",
        "errors": [],
    }
    return default | changes


def redacted(**changes: Any) -> Payload:
    """``customers/redact`` and ``customers/data_request``."""
    default = {
        "shop_id": 954889,
        "shop_domain": DOMAIN,
        "customer": {"id": 4206822293653, "email": "ann@mail.com", "phone": "+12025550123"},
        "orders_to_redact": [2998557704341],
    }
    return default | changes


def with_handle(payload: Payload, handle: str) -> Payload:
    """The same with the attribute that the tag has put into the cart."""
    attributes = [{"name": "gift note", "value": "enjoy"}, {"name": "_backflow", "value": handle}]
    return payload | {"note_attributes": attributes}


def signature(body: bytes, secret: str = SECRET) -> str:
    """How Shopify signs a webhook."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def proxied(parameters: list[tuple[str, str]], secret: str = SECRET) -> str:
    """The query of a request that Shopify passes on: signed, as its documentation says."""
    together: dict[str, list[str]] = {}
    for name, value in parameters:
        together.setdefault(name, []).append(value)
    text = "".join(f"{name}={','.join(together[name])}" for name in sorted(together))
    return urlencode([*parameters, ("signature", hmac.digest(secret.encode(), text.encode(), "sha256").hex())])
