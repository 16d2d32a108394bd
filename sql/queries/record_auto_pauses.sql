-- record_auto_pauses(): members whom the service has paused, one array element each: id of the event, queue, extension, reason,
-- and when. To be run before the events are written: what was written before may be resumed meanwhile, and is left alone. So is one
-- who has logged on or resumed since, while this waited for the database.
INSERT INTO pauses (extension, queue, kind, reason, since)
SELECT DISTINCT ON (begun.extension, begun.queue) begun.extension, begun.queue, 'auto', begun.reason, begun.at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS begun (event, queue, extension, reason, at)
JOIN memberships ON memberships.queue = begun.queue AND memberships.extension = begun.extension
WHERE begun.at >= greatest(memberships.joined_at, memberships.back_at)
  AND NOT EXISTS (SELECT FROM call_events WHERE call_events.id = begun.event)
ORDER BY begun.extension, begun.queue, begun.at
ON CONFLICT (extension, coalesce(queue, ''), kind) DO NOTHING
