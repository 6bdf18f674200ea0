-- What a shop's server has said of a cart whose browser was not known then: its own word may come later.
CREATE TABLE IF NOT EXISTS cart_calls (
    site_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash BYTEA NOT NULL,
    message_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    evidence TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    noted_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (site_id, kind, hash, message_id)
);
