-- record_events(): every step of every call. An event that was written before is left alone.
INSERT INTO call_events (id, call_id, at, kind, extension, offer, detail)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::integer[], $7::jsonb[])
ON CONFLICT (id) DO NOTHING
