-- record_ends(): how and when each call left the floor.
UPDATE calls
SET ended_at = ended.at, outcome = ended.outcome
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS ended (call, at, outcome)
WHERE calls.id = ended.call AND calls.ended_at IS NULL
