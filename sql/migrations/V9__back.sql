-- A pause that the service sets is written when the database can be reached, which may be after the agent has come back.
ALTER TABLE memberships ADD COLUMN back_at timestamptz;
COMMENT ON COLUMN memberships.back_at IS 'When the agent last said to be there, by logging on (also when logged on already) or by resuming; NULL: never since there is this column. A pause of kind auto that is older is over.';

DROP TRIGGER memberships_updated ON memberships;
-- Not what the service itself writes with each call and knows already: last_call_at, calls_taken, wrap_up_until.
CREATE TRIGGER memberships_updated AFTER UPDATE ON memberships
    FOR EACH ROW WHEN (
        (OLD.queue, OLD.extension, OLD.logged_on, OLD.penalty, OLD.place, OLD.joined_at, OLD.back_at, OLD.kind) IS DISTINCT FROM
        (NEW.queue, NEW.extension, NEW.logged_on, NEW.penalty, NEW.place, NEW.joined_at, NEW.back_at, NEW.kind))
    EXECUTE FUNCTION usher_row_changed('queue', 'extension');
