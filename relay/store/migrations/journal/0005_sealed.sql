-- What is still to be sealed of a journal made before (store/sealing.py).
CREATE TABLE IF NOT EXISTS unsealed (part TEXT NOT NULL);
INSERT INTO unsealed (part) VALUES ('journal');
