-- record_answers(): who answered which call, and when; and that they took one more of that queue. Said again, it counts once.
WITH taken AS (
    UPDATE calls
    SET answered_at = answered.at, answered_by = answered.extension
    FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS answered (call, at, extension)
    WHERE calls.id = answered.call AND calls.answered_at IS NULL
    RETURNING calls.queue, calls.answered_by
)
UPDATE memberships
SET calls_taken = calls_taken + more.calls
FROM (SELECT queue, answered_by, count(*) AS calls FROM taken GROUP BY queue, answered_by) AS more
WHERE memberships.queue = more.queue AND memberships.extension = more.answered_by
