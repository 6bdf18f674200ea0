"""The two durable doors: the journal (what came in) and the state with its outbox (what must go out)."""
