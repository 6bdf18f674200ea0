"""Klaviyo: what it is told (mapping, profiles) and how it is reached (client)."""
