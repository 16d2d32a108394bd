-- lease::take(): takes over, unless the lease was renewed or taken since it was looked at.
UPDATE leases
SET token = token + 1, holder = $1, renewed_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => $2),
    backend_pid = pg_backend_pid(), backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
WHERE name = 'floor' AND token = $3 AND renewed_at = $4
RETURNING token
