-- What a browser has left that another record may carry too (cart tokens, client IDs, click IDs), by hash.
CREATE TABLE IF NOT EXISTS traces (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash BLOB NOT NULL,
    visitor_id TEXT NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    network TEXT,
    browser TEXT,
    PRIMARY KEY (site_id, kind, hash, visitor_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS traces_by_visitor ON traces (site_id, visitor_id);
CREATE INDEX IF NOT EXISTS traces_by_age ON traces (site_id, last_at);

-- How many new identifiers an address has brought within an hour. source: a hash of the address.
CREATE TABLE IF NOT EXISTS claims (
    site_id TEXT NOT NULL,
    source BLOB NOT NULL,
    since REAL NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (site_id, source)
) WITHOUT ROWID;

-- Why a delivery is its person's, as it stood when that was decided.
CREATE TABLE IF NOT EXISTS proofs (
    site_id TEXT NOT NULL,
    delivery_id INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (site_id, delivery_id)
) WITHOUT ROWID;

-- When all of a visitor's ties last ended (signed out, consent withdrawn): what happened before ties it no more.
CREATE TABLE IF NOT EXISTS unties (
    site_id TEXT NOT NULL,
    visitor_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (site_id, visitor_id, reason)
) WITHOUT ROWID;
