-- history::lost(): the last call of the last day for one of these queues that came to nothing and after which nobody has talked with that
-- customer; of this code or number, if one is given. One who waits to be called back is such a call. Whom a queue has sent on to the
-- dialplan's fallback may have been answered there: they are called for if they are named, and only then.
SELECT c.server, q.queue, c.customer_id, c.customer_code, c.customer_name, c.caller_number, c.caller_name
FROM calls c
CROSS JOIN LATERAL (
    SELECT coalesce((
        SELECT substr(e.detail ->> 'to', 7) FROM call_events e
        WHERE e.call_id = c.id AND e.kind IN ('overflowed', 'transferred') AND e.detail ->> 'to' LIKE 'queue/%'
        ORDER BY e.at DESC, e.id DESC LIMIT 1), c.queue) AS queue
) q
WHERE q.queue = ANY ($1::text[])
  AND c.entered_at > now() - interval '1 day'
  AND c.answered_at IS NULL
  AND CASE WHEN $2::text IS NULL
      THEN c.caller_number ~ '^\+?[0-9]{3,20}$'
      ELSE $2 IN (c.customer_code, c.caller_number) END
  AND CASE
      WHEN c.ended_at IS NULL THEN EXISTS (SELECT FROM callbacks b WHERE b.call = c.id AND b.state = 'waiting')
      WHEN c.outcome IN ('abandoned', 'not_reached') THEN true
      WHEN c.outcome IN ('timed_out', 'no_members', 'full', 'empty', 'stopped', 'lost') THEN $2 IS NOT NULL
      ELSE false END
  AND NOT EXISTS (
      SELECT FROM calls l
      WHERE l.entered_at > c.entered_at - interval '1 day' AND l.answered_at > c.entered_at
        AND l.customer_id = c.customer_id AND (c.customer_id <> 0 OR l.caller_number = c.caller_number))
ORDER BY c.entered_at DESC, c.id
LIMIT 1
