-- log_off(): takes a member off a queue; the membership stays. No row if there is no such queue or extension: who is not on it, is off it.
WITH off AS (
    UPDATE memberships
    SET logged_on = false,
        logged_on_changed_at = CASE WHEN logged_on THEN now() ELSE logged_on_changed_at END
    WHERE queue = $1 AND extension = $2
)
SELECT 1 FROM queues, extensions WHERE queues.name = $1 AND extensions.number = $2
