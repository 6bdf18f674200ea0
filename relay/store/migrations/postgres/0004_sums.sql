-- How many deliveries stand where, kept by the database itself in every change of a row: nobody has to count a million.
-- Once for each statement, however many rows it changes. Transactions of a site happen one after the other, so that they
-- do not wait for each other at these rows; differences are added, so one that does come in between changes nothing.
CREATE TABLE IF NOT EXISTS delivery_sums (
    site_id TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (site_id, state, reason)
) WITH (fillfactor = 50);

LOCK TABLE deliveries IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM delivery_sums;
INSERT INTO delivery_sums (site_id, state, reason, n)
    SELECT site_id, state, reason, count(*) FROM deliveries GROUP BY site_id, state, reason;

CREATE OR REPLACE FUNCTION sum_deliveries_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO delivery_sums AS s (site_id, state, reason, n)
        SELECT site_id, state, reason, count(*) FROM added GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (site_id, state, reason) DO UPDATE SET n = s.n + excluded.n;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION sum_deliveries_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO delivery_sums AS s (site_id, state, reason, n)
        SELECT site_id, state, reason, -count(*) FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (site_id, state, reason) DO UPDATE SET n = s.n + excluded.n;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION sum_deliveries_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO delivery_sums AS s (site_id, state, reason, n)
        SELECT site_id, state, reason, sum(n) FROM (
            SELECT site_id, state, reason, 1 AS n FROM added
            UNION ALL SELECT site_id, state, reason, -1 FROM gone
        ) AS moved GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (site_id, state, reason) DO UPDATE SET n = s.n + excluded.n;
    RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS deliveries_added ON deliveries;
CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sum_deliveries_added();
DROP TRIGGER IF EXISTS deliveries_gone ON deliveries;
CREATE TRIGGER deliveries_gone AFTER DELETE ON deliveries
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sum_deliveries_gone();
DROP TRIGGER IF EXISTS deliveries_moved ON deliveries;
CREATE TRIGGER deliveries_moved AFTER UPDATE ON deliveries
    REFERENCING OLD TABLE AS gone NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sum_deliveries_moved();
