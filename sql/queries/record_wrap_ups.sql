-- record_wrap_ups(): until when members wrap up after a call of a queue. Only forward.
UPDATE memberships
SET wrap_up_until = latest.until
FROM (SELECT queue, extension, max(until) AS until
      FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS begun (queue, extension, until)
      GROUP BY queue, extension) AS latest
WHERE memberships.queue = latest.queue AND memberships.extension = latest.extension
  AND (memberships.wrap_up_until IS NULL OR memberships.wrap_up_until < latest.until)
