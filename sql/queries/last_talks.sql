-- talks::last(): with whom each customer spoke last and when that ended, of the latest $1 calls; as far back as a queue goes by it.
-- Of a call that was sent on it is the last agent who had it. Whatever entered four hours before that has hardly been talked to until then.
SELECT DISTINCT ON (customer_id) customer_id, COALESCE(last.extension, answered_by) AS answered_by, ended_at
FROM (
    SELECT id, customer_id, answered_by, ended_at
    FROM calls, (SELECT now() - make_interval(secs => max(sticky_seconds)) AS since FROM queues) AS memory
    WHERE entered_at > since - interval '4 hours' AND ended_at > since AND answered_by IS NOT NULL AND customer_id <> 0
    ORDER BY entered_at DESC
    LIMIT $1
) AS latest
LEFT JOIN LATERAL (
    SELECT extension
    FROM call_events
    WHERE call_id = latest.id AND kind = 'answered' AND extension NOT LIKE 'outside/%'
    ORDER BY at DESC
    LIMIT 1
) AS last ON true
ORDER BY customer_id, ended_at DESC
