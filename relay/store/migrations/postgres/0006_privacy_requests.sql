-- What a shop asks on behalf of its customers. The subject is emptied once the request has been carried out.
CREATE TABLE IF NOT EXISTS privacy_requests (
    site_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    subject BYTEA NOT NULL,
    received_at DOUBLE PRECISION NOT NULL,
    done_at DOUBLE PRECISION,
    PRIMARY KEY (site_id, request_id)
);
