-- left::open(): calls that have no end and are no open callback, the latest $1; with the member whom they talked with last, unless
-- that member has sent them on.
SELECT c.id, c.server, c.queue, c.customer_id, last.extension
FROM calls c
LEFT JOIN LATERAL (
    SELECT e.kind, e.extension
    FROM call_events e
    WHERE e.call_id = c.id AND e.kind IN ('answered', 'transferred')
    ORDER BY e.at DESC, e.id DESC
    LIMIT 1
) last ON last.kind = 'answered'
WHERE c.ended_at IS NULL
  AND NOT EXISTS (SELECT FROM callbacks b WHERE b.call = c.id AND b.state <> 'ended')
ORDER BY c.entered_at DESC
LIMIT $1
