-- record_renumbered(): calls, and their callbacks, of members who have got another number meanwhile.
WITH told AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS told (call, before, after)
), of_calls AS (
    UPDATE calls SET answered_by = told.after FROM told WHERE calls.id = told.call AND calls.answered_by = told.before
)
UPDATE callbacks SET extension = told.after FROM told WHERE callbacks.call = told.call AND callbacks.extension = told.before
