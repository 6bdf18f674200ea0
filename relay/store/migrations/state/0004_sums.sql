-- How many deliveries stand where, kept by the database itself in every change of a row: nobody has to count a million.
CREATE TABLE IF NOT EXISTS delivery_sums (
    site_id TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (site_id, state, reason)
) WITHOUT ROWID;

DELETE FROM delivery_sums;
INSERT INTO delivery_sums (site_id, state, reason, n)
    SELECT site_id, state, reason, count(*) FROM deliveries GROUP BY site_id, state, reason;

DROP TRIGGER IF EXISTS deliveries_added;
CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries BEGIN
    INSERT INTO delivery_sums (site_id, state, reason, n) VALUES (new.site_id, new.state, new.reason, 1)
        ON CONFLICT (site_id, state, reason) DO UPDATE SET n = n + 1;
END;

DROP TRIGGER IF EXISTS deliveries_gone;
CREATE TRIGGER deliveries_gone AFTER DELETE ON deliveries BEGIN
    UPDATE delivery_sums SET n = n - 1 WHERE site_id = old.site_id AND state = old.state AND reason = old.reason;
END;

DROP TRIGGER IF EXISTS deliveries_moved;
CREATE TRIGGER deliveries_moved AFTER UPDATE OF site_id, state, reason ON deliveries
    WHEN (old.site_id, old.state, old.reason) <> (new.site_id, new.state, new.reason) BEGIN
    UPDATE delivery_sums SET n = n - 1 WHERE site_id = old.site_id AND state = old.state AND reason = old.reason;
    INSERT INTO delivery_sums (site_id, state, reason, n) VALUES (new.site_id, new.state, new.reason, 1)
        ON CONFLICT (site_id, state, reason) DO UPDATE SET n = n + 1;
END;
