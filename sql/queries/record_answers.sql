-- record_answers(): who answered which call, and when.
UPDATE calls
SET answered_at = answered.at, answered_by = answered.extension
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS answered (call, at, extension)
WHERE calls.id = answered.call AND calls.answered_at IS NULL
