-- Each site's data key, wrapped with one of RELAY_SECRET_KEYS (store/vault.py).
CREATE TABLE IF NOT EXISTS data_keys (
    site_id TEXT NOT NULL PRIMARY KEY,
    wrapped BYTEA NOT NULL
);

-- What replaces the table of identifiers once their values are sealed: they are found by a keyed hash.
CREATE TABLE IF NOT EXISTS sealed_identifiers (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash BYTEA NOT NULL,
    value BYTEA NOT NULL,
    person_id TEXT NOT NULL,
    trust TEXT NOT NULL,
    first_at DOUBLE PRECISION NOT NULL,
    last_at DOUBLE PRECISION NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (site_id, kind, hash)
);
CREATE INDEX IF NOT EXISTS identifiers_of_person ON sealed_identifiers (site_id, person_id);

-- What is still to be sealed of a database made before: the names of its parts (store/sealing.py).
CREATE TABLE IF NOT EXISTS unsealed (part TEXT NOT NULL);
INSERT INTO unsealed (part) VALUES ('identifiers');
INSERT INTO unsealed (part) VALUES ('persons');
INSERT INTO unsealed (part) VALUES ('events');
INSERT INTO unsealed (part) VALUES ('deliveries');
INSERT INTO unsealed (part) VALUES ('journal');

-- Words that journal rows of an erased person are known by, sealed, until every row from before the erasure is processed
-- and gone.
CREATE TABLE IF NOT EXISTS scrubs (
    site_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    erased_at DOUBLE PRECISION NOT NULL,
    marks BYTEA NOT NULL,
    PRIMARY KEY (site_id, reference)
);

-- Who asked for what with a person's data. subject is a keyed hash; what is a JSON object of counts.
CREATE TABLE IF NOT EXISTS audit (
    site_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    action TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    subject BYTEA NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (site_id, reference)
);
CREATE INDEX IF NOT EXISTS audit_by_time ON audit (site_id, at);
