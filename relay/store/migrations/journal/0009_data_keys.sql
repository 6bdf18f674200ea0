-- Each site's data key again, wrapped: a journal must be readable when the state's file is lost (store/keyring.py).
CREATE TABLE IF NOT EXISTS data_keys (
    site_id TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
);
