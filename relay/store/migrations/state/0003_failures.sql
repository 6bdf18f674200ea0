-- Messages a fault of ours has stopped: the journal still has them, so that they can be processed once it is mended.
CREATE TABLE IF NOT EXISTS failures (
    site_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    failed_at REAL NOT NULL,
    PRIMARY KEY (site_id, seq, message_id)
) WITHOUT ROWID;
