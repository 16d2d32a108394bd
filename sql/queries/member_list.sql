-- cli::member::run(): who serves where, and how they stand.
SELECT m.queue, m.extension, e.name, m.kind, m.logged_on, p.paused, p.paused_since, m.penalty, m.place, m.calls_taken,
       CASE WHEN m.wrap_up_until > now() THEN m.wrap_up_until END AS wrap_up_until,
       m.logged_on_changed_at, m.last_call_at
FROM memberships m
JOIN extensions e ON e.number = m.extension
LEFT JOIN LATERAL (
    SELECT string_agg(kind || CASE WHEN queue IS NULL THEN ' everywhere' ELSE '' END
                           || CASE WHEN reason = '' THEN '' ELSE ': ' || reason END, '; ' ORDER BY since, kind) AS paused,
           min(since) AS paused_since
    FROM pauses
    WHERE pauses.extension = m.extension AND (pauses.queue IS NULL OR pauses.queue = m.queue)
) p ON true
ORDER BY m.queue, m.extension
