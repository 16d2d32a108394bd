-- lease::look(): who is active, and whether they are still there.
SELECT token, renewed_at, holder IS NOT NULL, expires_at <= clock_timestamp(),
       EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = l.backend_pid AND a.backend_start = l.backend_start)
FROM leases AS l
WHERE name = 'floor'
