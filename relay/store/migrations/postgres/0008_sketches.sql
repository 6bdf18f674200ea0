-- What behaviour compares visitors by (networks, browsers, products, carts), as keyed hashes. kind 'visitor' with an empty
-- code is there once for each visitor.
CREATE TABLE IF NOT EXISTS sketches (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    code BYTEA NOT NULL,
    visitor_id TEXT NOT NULL,
    last_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (site_id, kind, code, visitor_id)
);
CREATE INDEX IF NOT EXISTS sketches_by_visitor ON sketches (site_id, visitor_id, last_at);
CREATE INDEX IF NOT EXISTS sketches_by_age ON sketches (site_id, last_at) WHERE kind = 'visitor';

-- How many visitors have a value: rare ones weigh more.
CREATE TABLE IF NOT EXISTS terms (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    code BYTEA NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (site_id, kind, code)
);

-- Of n pairs of visitors that are one person's (is_same), or two persons', in how many a feature agreed.
CREATE TABLE IF NOT EXISTS comparisons (
    site_id TEXT NOT NULL,
    feature TEXT NOT NULL,
    is_same BIGINT NOT NULL,
    agreed BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (site_id, feature, is_same)
);

-- Whom an unknown visitor may be: shown and measured, never used to send.
CREATE TABLE IF NOT EXISTS suspicions (
    site_id TEXT NOT NULL,
    visitor_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    other_id TEXT NOT NULL,
    probability DOUBLE PRECISION NOT NULL,
    weights TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    verdict TEXT,
    PRIMARY KEY (site_id, visitor_id)
);
CREATE INDEX IF NOT EXISTS suspicions_by_other ON suspicions (site_id, other_id);
CREATE INDEX IF NOT EXISTS suspicions_by_person ON suspicions (site_id, person_id);
CREATE INDEX IF NOT EXISTS suspicions_by_age ON suspicions (site_id, at);
