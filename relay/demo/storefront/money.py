"""Money of the demo shop: two currencies with fixed price lists, kept in minor units (cents) throughout.

Shopify's cart answers speak minor units as integers; the calls to Klaviyo and Backflow speak major units.
"""

#: ISO 4217 code -> the sign printed before an amount. The first one is what a new visitor sees.
CURRENCIES = {"EUR": "€", "USD": "$"}
DEFAULT_CURRENCY = "EUR"

#: Flat shipping fee and the order value from which it is waived, in minor units.
SHIPPING_FEE = {"EUR": 490, "USD": 590}
FREE_SHIPPING_FROM = {"EUR": 8000, "USD": 9000}

#: Share of a price that is tax already contained in it: European prices include VAT, American ones no tax.
_INCLUDED_TAX_PERCENT = {"EUR": 19, "USD": 0}


def major(amount: int) -> float:
    """Minor units to major units: 1250 -> 12.5."""
    return amount / 100


def display(amount: int, currency: str) -> str:
    """An amount in minor units as the shop prints it: 1250, EUR -> ``€12.50``."""
    return f"{CURRENCIES[currency]}{amount / 100:,.2f}"


def shipping_fee(goods: int, currency: str) -> int:
    """What shipping costs for goods of this value after discounts; both in minor units."""
    return 0 if goods >= FREE_SHIPPING_FROM[currency] else SHIPPING_FEE[currency]


def included_tax(amount: int, currency: str) -> int:
    """The tax contained in an amount, in minor units, rounded half up."""
    percent = _INCLUDED_TAX_PERCENT[currency]
    return (2 * amount * percent + 100 + percent) // (2 * (100 + percent))
