"""A strict stand-in for Klaviyo: one account in memory, its API, its on-page script, and a page to look at.

The demo and the tests send here what would go to Klaviyo. ``gate`` checks a call, ``bodies`` and ``rules``
judge its body, ``endpoints`` act on the ``account``, ``control`` shows what happened and scripts faults.
"""

from starlette.applications import Starlette
from starlette.routing import Route

from relay.demo.sandbox.account import ALL_SCOPES, Account
from relay.demo.sandbox.control import Control
from relay.demo.sandbox.faults import Scripts
from relay.demo.sandbox.gate import Gate
from relay.demo.sandbox.limits import RateLimits
from relay.demo.sandbox.pages import STUB_SNIPPET, Pages

__all__ = ["ALL_SCOPES", "STUB_SNIPPET", "Account", "build_sandbox"]


def build_sandbox(
    account: Account | None = None, *, open_control: bool = True, shop_url: str | None = None
) -> Starlette:
    """The sandbox as an ASGI application; ``app.state.account`` is its account.

    Args:
        account: a fresh demo account if None.
        open_control: whether ``/_sandbox`` has its levers (reset, scripted answers, ...) or can only be read.
        shop_url: where the page "What Klaviyo received" sends a visitor who has sent nothing yet.
    """
    account = account or Account()
    scripts, limits = Scripts(), RateLimits()
    gate = Gate(account, scripts, limits)
    app = Starlette(
        routes=[
            *Pages(account).routes(),
            *Control(account, scripts, limits, shop_url).routes(levers=open_control),
            Route("/api/{path:path}", gate),
            Route("/client/{path:path}", gate),
        ]
    )
    app.state.account = account
    return app
