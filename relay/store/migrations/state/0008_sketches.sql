-- What behaviour compares visitors by (networks, browsers, products, carts), as keyed hashes. kind 'visitor' with an empty
-- code is there once for each visitor.
CREATE TABLE IF NOT EXISTS sketches (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    code BLOB NOT NULL,
    visitor_id TEXT NOT NULL,
    last_at REAL NOT NULL,
    PRIMARY KEY (site_id, kind, code, visitor_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sketches_by_visitor ON sketches (site_id, visitor_id, last_at);
CREATE INDEX IF NOT EXISTS sketches_by_age ON sketches (site_id, last_at) WHERE kind = 'visitor';

-- How many visitors have a value: rare ones weigh more.
CREATE TABLE IF NOT EXISTS terms (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    code BLOB NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (site_id, kind, code)
) WITHOUT ROWID;

-- Of n pairs of visitors that are one person's (is_same), or two persons', in how many a feature agreed.
CREATE TABLE IF NOT EXISTS comparisons (
    site_id TEXT NOT NULL,
    feature TEXT NOT NULL,
    is_same INTEGER NOT NULL,
    agreed INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (site_id, feature, is_same)
) WITHOUT ROWID;

-- Whom an unknown visitor may be: shown and measured, never used to send.
CREATE TABLE IF NOT EXISTS suspicions (
    site_id TEXT NOT NULL,
    visitor_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    other_id TEXT NOT NULL,
    probability REAL NOT NULL,
    weights TEXT NOT NULL,
    at REAL NOT NULL,
    verdict TEXT,
    PRIMARY KEY (site_id, visitor_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS suspicions_by_other ON suspicions (site_id, other_id);
CREATE INDEX IF NOT EXISTS suspicions_by_person ON suspicions (site_id, person_id);
CREATE INDEX IF NOT EXISTS suspicions_by_age ON suspicions (site_id, at);
