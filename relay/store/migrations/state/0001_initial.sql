-- Every key begins with site_id. Times are seconds since the Unix epoch.

-- How far the site's journal is processed, committed together with what processing did.
CREATE TABLE IF NOT EXISTS positions (
    site_id TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL
);

-- The sums: received = accepted + duplicate + dropped by reason.
CREATE TABLE IF NOT EXISTS counts (
    site_id TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    n INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site_id, name, reason)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS persons (
    site_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    traits BLOB NOT NULL DEFAULT '{}',
    PRIMARY KEY (site_id, person_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS identifiers (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    person_id TEXT NOT NULL,
    trust TEXT NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (site_id, kind, value)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS identifiers_by_person ON identifiers (site_id, person_id);

-- A visitor's ties to persons. Ended ones stay, with the reason.
CREATE TABLE IF NOT EXISTS links (
    site_id TEXT NOT NULL,
    visitor_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    evidence TEXT NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    message_id TEXT NOT NULL,
    ended_at REAL,
    end_reason TEXT,
    PRIMARY KEY (site_id, visitor_id, person_id, evidence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_by_person ON links (site_id, person_id);

-- One person is part of another: recorded, revocable, nothing copied.
CREATE TABLE IF NOT EXISTS merges (
    site_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    revoked_at REAL,
    PRIMARY KEY (site_id, source_id, target_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS merges_by_target ON merges (site_id, target_id);

-- Keyed hashes of erased identifiers: what is older than the erasure must not bring them back.
CREATE TABLE IF NOT EXISTS forgotten (
    site_id TEXT NOT NULL,
    hash BLOB NOT NULL,
    forgotten_at REAL NOT NULL,
    PRIMARY KEY (site_id, hash)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id TEXT NOT NULL,
    source TEXT NOT NULL,
    message_id TEXT NOT NULL,
    visitor_id TEXT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    occurred_at REAL NOT NULL,
    received_at REAL NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS events_by_message ON events (site_id, source, message_id);
CREATE INDEX IF NOT EXISTS events_by_age ON events (site_id, received_at);

-- The outbox. unique_id is Klaviyo's key of the event: a second row for the same thing cannot exist.
CREATE TABLE IF NOT EXISTS deliveries (
    delivery_id INTEGER PRIMARY KEY AUTOINCREMENT,
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    unique_id TEXT NOT NULL,
    event_id INTEGER,
    commerce_kind TEXT NOT NULL DEFAULT '',
    metric TEXT NOT NULL DEFAULT '',
    action TEXT NOT NULL DEFAULT '',
    line INTEGER,
    visitor_id TEXT,
    person_id TEXT,
    occurred_at REAL NOT NULL,
    created_at REAL NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    cause TEXT NOT NULL,
    evidence TEXT NOT NULL DEFAULT '',
    confidence REAL NOT NULL DEFAULT 0,
    backfill INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    first_attempt_at REAL,
    lease_owner TEXT,
    lease_until REAL,
    payload TEXT,
    recipient BLOB,
    status INTEGER,
    error TEXT,
    settled_at REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS deliveries_by_unique_id ON deliveries (site_id, unique_id);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (site_id, due_at) WHERE state IN ('ready', 'held');
CREATE INDEX IF NOT EXISTS deliveries_leased ON deliveries (site_id, lease_until) WHERE state = 'sending';
CREATE INDEX IF NOT EXISTS deliveries_unsent_by_visitor ON deliveries (site_id, visitor_id, state)
    WHERE state IN ('waiting', 'held', 'ready');
CREATE INDEX IF NOT EXISTS deliveries_unsent_by_person ON deliveries (site_id, person_id, state)
    WHERE state IN ('waiting', 'held', 'ready');
CREATE INDEX IF NOT EXISTS orders_by_visitor ON deliveries (site_id, visitor_id, occurred_at) WHERE action = 'placed_order';
CREATE INDEX IF NOT EXISTS orders_by_person ON deliveries (site_id, person_id, occurred_at) WHERE action = 'placed_order';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event_id);

-- Whether Klaviyo takes our key. One row a site and endpoint group ('events', 'profiles:read', ...).
CREATE TABLE IF NOT EXISTS destinations (
    site_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    paused_until REAL NOT NULL,
    reason TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (site_id, scope)
) WITHOUT ROWID;
