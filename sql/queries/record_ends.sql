-- record_ends(): how and when each call left the floor. The end that a dead service has seen, and that is written late, counts more
-- than that the next one found the call gone; and where a service that stopped could not give a caller back, and the next one had
-- them after all, the later end counts.
UPDATE calls
SET ended_at = ended.at, outcome = ended.outcome
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS ended (call, at, outcome)
WHERE calls.id = ended.call
  AND (calls.ended_at IS NULL
       OR (calls.outcome = 'stopped' AND ended.at > calls.ended_at)
       OR (calls.outcome = 'lost' AND ended.outcome <> 'lost' AND ended.at < calls.ended_at))
