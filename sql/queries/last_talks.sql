-- talks::last(): with whom each customer spoke last and when that ended, of the latest $1 talks; as far back as a queue goes by it.
-- Whatever entered four hours before that has hardly been talked to until then.
SELECT DISTINCT ON (customer_id) customer_id, answered_by, ended_at
FROM (
    SELECT customer_id, answered_by, ended_at
    FROM calls, (SELECT now() - make_interval(secs => max(sticky_seconds)) AS since FROM queues) AS memory
    WHERE entered_at > since - interval '4 hours' AND ended_at > since AND answered_by IS NOT NULL AND customer_id <> 0
    ORDER BY entered_at DESC
    LIMIT $1
) AS latest
ORDER BY customer_id, ended_at DESC
