"""The console: what happened and why, for the merchant and the operator. Reads the store, holds no state of its own."""

from relay.web.console.pages import Console

__all__ = ["Console"]
