-- report::calls(): calls that entered in a range, oldest first, each with what members had to do with it: steps of these kinds.
SELECT c.id, c.queue, c.entered_at, c.answered_at, c.answered_by, c.ended_at, c.outcome, c.service_level_seconds,
       c.customer_code, c.customer_name, c.caller_number, c.recording,
       s.extensions, s.kinds, s.whys, s.moments, s.ends, s.nexts
FROM calls c
LEFT JOIN LATERAL (
    SELECT array_agg(e.extension ORDER BY e.at, e.id) AS extensions,
           array_agg(e.kind ORDER BY e.at, e.id) AS kinds,
           array_agg(e.detail ->> 'why' ORDER BY e.at, e.id) AS whys,
           array_agg(e.at ORDER BY e.at, e.id) AS moments,
           array_agg(e.detail ->> 'until' ORDER BY e.at, e.id) AS ends,
           -- What ends a wrap-up before its time: the next talk, or its wrap-up. The kinds as the index has them.
           array_agg(CASE e.kind WHEN 'wrap_up' THEN (
               SELECT min(n.at) FROM call_events n
               WHERE n.extension = e.extension AND n.at > e.at AND n.kind IN ('answered', 'wrap_up')) END ORDER BY e.at, e.id) AS nexts
    FROM call_events e
    WHERE e.call_id = c.id AND e.extension IS NOT NULL AND e.kind = ANY ($5::text[])
) s ON true
WHERE c.entered_at >= $1::timestamptz
  AND ($2::timestamptz IS NULL OR c.entered_at < $2)
  AND ($3::text IS NULL OR c.queue = $3)
  AND ($4::text IS NULL OR c.answered_by = $4 OR EXISTS (
      SELECT FROM call_events a WHERE a.call_id = c.id AND a.kind = 'answered' AND a.extension = $4))
ORDER BY c.entered_at, c.id
