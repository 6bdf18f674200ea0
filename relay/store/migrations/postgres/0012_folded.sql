-- A person known by nothing but a link's exchange ID, whose recipient Klaviyo has named since: all they had is that
-- person's now. The row stays as long as deliveries that were filed under them; nobody asks it whose an event is.
ALTER TABLE merges ADD COLUMN folded_at DOUBLE PRECISION;
DROP INDEX IF EXISTS merges_by_target;
CREATE INDEX IF NOT EXISTS merges_by_target ON merges (site_id, target_id, folded_at);
CREATE INDEX IF NOT EXISTS merges_folded ON merges (site_id, folded_at) WHERE folded_at IS NOT NULL;
