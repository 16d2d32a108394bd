-- lease::renew(): another term for the one who holds it, also over a new connection.
UPDATE leases
SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => $2),
    backend_pid = pg_backend_pid(), backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
WHERE name = 'floor' AND holder = $1 AND token = $3
