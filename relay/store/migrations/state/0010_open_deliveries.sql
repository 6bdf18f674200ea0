-- What a visitor or a person has in the outbox, what is under way to Klaviyo included: asked for with every message.
DROP INDEX IF EXISTS deliveries_unsent_by_visitor;
CREATE INDEX IF NOT EXISTS deliveries_open_by_visitor ON deliveries (site_id, visitor_id, state)
    WHERE state IN ('waiting', 'held', 'ready', 'sending');
DROP INDEX IF EXISTS deliveries_unsent_by_person;
CREATE INDEX IF NOT EXISTS deliveries_open_by_person ON deliveries (site_id, person_id, state)
    WHERE state IN ('waiting', 'held', 'ready', 'sending');
