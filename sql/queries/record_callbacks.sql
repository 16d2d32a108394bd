-- record_callbacks(): callers who asked to be called back, one array element each. Who has been called back, was sent on and asks again
-- has a new place: the last wish counts, if the row does not tell of a later step. The number of the last try stays.
INSERT INTO callbacks (step, call, queue, server, customer_id, customer_code, customer_name, caller_number, caller_name, priority,
                       since, entered_at, penalty_least, penalty_most, asked_at, keep_until, told_of_recording)
SELECT DISTINCT ON (call) *
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::integer[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::bigint[], $15::timestamptz[],
            $16::timestamptz[], $17::boolean[])
    AS asked (step, call, queue, server, customer_id, customer_code, customer_name, caller_number, caller_name, priority, since,
              entered_at, penalty_least, penalty_most, asked_at, keep_until, told_of_recording)
ORDER BY call, step DESC
ON CONFLICT (call) DO UPDATE
SET step = excluded.step, queue = excluded.queue, server = excluded.server, priority = excluded.priority, since = excluded.since,
    penalty_least = excluded.penalty_least, penalty_most = excluded.penalty_most, asked_at = excluded.asked_at,
    keep_until = excluded.keep_until, told_of_recording = excluded.told_of_recording, state = 'waiting', tries = 0, again_at = NULL,
    extension = NULL
WHERE callbacks.step < excluded.step AND callbacks.state <> 'ended'
