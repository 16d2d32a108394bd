-- log_off(): takes a member off a queue; the membership stays. No row if there is no such membership.
UPDATE memberships
SET logged_on = false,
    logged_on_changed_at = CASE WHEN logged_on THEN now() ELSE logged_on_changed_at END
WHERE queue = $1 AND extension = $2
