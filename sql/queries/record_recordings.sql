-- record_recordings(): in which file each call is recorded.
UPDATE calls
SET recording = begun.file
FROM unnest($1::uuid[], $2::text[]) AS begun (call, file)
WHERE calls.id = begun.call
