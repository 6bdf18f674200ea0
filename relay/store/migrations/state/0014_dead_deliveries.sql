-- What a visitor or a person has that is dead: what is heard of them may say that it shall not be replayed.
CREATE INDEX IF NOT EXISTS deliveries_dead_by_visitor ON deliveries (site_id, visitor_id) WHERE state = 'dead';
CREATE INDEX IF NOT EXISTS deliveries_dead_by_person ON deliveries (site_id, person_id) WHERE state = 'dead';
