-- Messages a fault of ours has stopped: the journal still has them, so that they can be processed once it is mended.
CREATE TABLE IF NOT EXISTS failures (
    site_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    failed_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (site_id, seq, message_id)
);
