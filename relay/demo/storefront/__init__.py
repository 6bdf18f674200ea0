"""A small shop to try Backflow on: it looks and behaves like a shop with a Shopify-like theme.

It stands at the very start of an event's path, outside the relay: shoppers click here, Klaviyo's script and
Backflow's tag watch. Carts, accounts and orders live in memory and are gone with the process; nothing is charged.
"""

from relay.demo.storefront.app import build_storefront

__all__ = ["build_storefront"]
