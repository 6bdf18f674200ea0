-- Deliveries are claimed kind by kind: live events first, a backlog behind them, one endpoint never waiting for another.
DROP INDEX IF EXISTS deliveries_due;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (site_id, kind, due_at) WHERE state IN ('ready', 'held');

-- The order of one person's changes: is there an earlier one that has not ended, or anything in flight?
CREATE INDEX IF NOT EXISTS changes_by_person ON deliveries (site_id, person_id, delivery_id)
    WHERE state IN ('ready', 'held', 'sending')
    AND kind IN ('profile', 'list_add', 'list_remove', 'subscribe', 'unsubscribe');
CREATE INDEX IF NOT EXISTS in_flight_by_person ON deliveries (site_id, person_id) WHERE state = 'sending';

-- The names of metrics this site has made at Klaviyo, without the suffix.
CREATE TABLE IF NOT EXISTS metrics (
    site_id TEXT NOT NULL,
    name TEXT NOT NULL,
    first_at REAL NOT NULL,
    PRIMARY KEY (site_id, name)
) WITHOUT ROWID;
