-- record_callback_steps(): what became of callbacks: the last of these steps counts, if the row does not tell of a later one. Most
-- of these calls have no callback.
UPDATE callbacks
SET state = latest.state, step = latest.step, again_at = latest.again_at,
    attempt = greatest(callbacks.attempt, latest.attempt), tries = greatest(callbacks.tries, latest.tries),
    extension = coalesce(latest.extension, callbacks.extension)
FROM (SELECT call, max(attempt) AS attempt, max(tries) AS tries,
             (array_agg(step ORDER BY step DESC))[1] AS step,
             (array_agg(state ORDER BY step DESC))[1] AS state,
             (array_agg(again_at ORDER BY step DESC))[1] AS again_at,
             (array_agg(extension ORDER BY step DESC) FILTER (WHERE extension IS NOT NULL))[1] AS extension
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::integer[], $6::timestamptz[], $7::text[])
          AS told (step, call, state, attempt, tries, again_at, extension)
      GROUP BY call) AS latest
WHERE callbacks.call = latest.call AND callbacks.step < latest.step AND callbacks.state <> 'ended'
