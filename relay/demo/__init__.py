"""The demo: a shop, the relay and a Klaviyo sandbox on this machine, without account and settings."""

from relay.demo.run import CONSOLE_PASSWORD, Ports, run

__all__ = ["CONSOLE_PASSWORD", "Ports", "run"]
