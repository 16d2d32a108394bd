-- callbacks::open(): every callback that is not over.
SELECT call, queue, server, customer_id, customer_code, customer_name, caller_number, caller_name, priority, since, entered_at,
       penalty_least, penalty_most, keep_until, told_of_recording, state, attempt, tries, again_at, extension,
       cancelled_at IS NOT NULL AS cancelled
FROM callbacks
WHERE state <> 'ended'
