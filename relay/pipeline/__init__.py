"""From the journal to the outbox: each module is one step on the path of an event."""
