"""From the outbox to Klaviyo: claim, pace, map, send, settle."""
