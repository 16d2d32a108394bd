-- record_callbacks(): callers who asked to be called back, one array element each.
INSERT INTO callbacks (step, call, queue, server, customer_id, customer_code, customer_name, caller_number, caller_name, priority,
                       since, entered_at, penalty_least, penalty_most, asked_at, keep_until)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
                     $10::integer[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::bigint[], $15::timestamptz[],
                     $16::timestamptz[])
ON CONFLICT (call) DO NOTHING
