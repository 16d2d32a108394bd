-- log_on(): makes an extension a logged-on member of a queue. No row if there is no such extension or queue.
-- A new member brings along the end of the last call of other queues, so that joining does not put anyone in front.
-- Whoever logs on is there: a pause that the service set after unanswered offers, or by their presence, is over, also for one who was
-- logged on, and also one that is not written yet (back_at).
WITH resumed AS (
    DELETE FROM pauses WHERE extension = $2 AND kind IN ('auto', 'presence') AND (queue IS NULL OR queue = $1)
)
INSERT INTO memberships (queue, extension, logged_on, last_call_at, back_at)
SELECT queues.name, extensions.number, true,
       (SELECT max(last_call_at) FROM memberships WHERE extension = extensions.number), now()
FROM queues, extensions
WHERE queues.name = $1 AND extensions.number = $2
ON CONFLICT (queue, extension) DO UPDATE
SET logged_on = true, back_at = excluded.back_at,
    joined_at = CASE WHEN memberships.logged_on THEN memberships.joined_at ELSE excluded.joined_at END,
    logged_on_changed_at =
        CASE WHEN memberships.logged_on THEN memberships.logged_on_changed_at ELSE excluded.logged_on_changed_at END
