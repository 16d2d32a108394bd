-- record_calls(): the calls that entered a queue, one array element each, with the service level that the queue has now.
INSERT INTO calls (id, server, channel, queue, customer_id, customer_code, customer_name, caller_number, caller_name, entered_at,
                   service_level_seconds)
SELECT entered.*, coalesce(queues.service_level_seconds, 20)
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::timestamptz[])
    AS entered (id, server, channel, queue, customer_id, customer_code, customer_name, caller_number, caller_name, entered_at)
LEFT JOIN queues ON queues.name = entered.queue
ON CONFLICT (id) DO NOTHING
