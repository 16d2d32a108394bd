-- record_last_calls(): when members' last calls ended, in every queue they serve. Only forward.
UPDATE memberships
SET last_call_at = latest.at
FROM (SELECT extension, max(at) AS at
      FROM unnest($1::text[], $2::timestamptz[]) AS ended (extension, at)
      GROUP BY extension) AS latest
WHERE memberships.extension = latest.extension
  AND (memberships.last_call_at IS NULL OR memberships.last_call_at < latest.at)
