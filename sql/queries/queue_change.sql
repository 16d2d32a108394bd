-- cli::queue::change(): changes the settings of a queue that the object holds; null empties one; what it does not hold stays.
UPDATE queues
SET (label, announcement, greeting, moh_class, ring_time_seconds, queue_timeout_seconds, strategy, retry_seconds, max_waiting,
     join_empty, leave_empty, weight, service_level_seconds, wrap_up_seconds, auto_pause_after, sticky_seconds, overflow,
     position_every_seconds, announce_estimate, periodic_sound, periodic_every_seconds, member_greeting, recording,
     callback_key, callback_tries) =
    (SELECT label, announcement, greeting, moh_class, ring_time_seconds, queue_timeout_seconds, strategy, retry_seconds,
            max_waiting, join_empty, leave_empty, weight, service_level_seconds, wrap_up_seconds, auto_pause_after,
            sticky_seconds, overflow, position_every_seconds, announce_estimate, periodic_sound, periodic_every_seconds,
            member_greeting, recording, callback_key, callback_tries
     FROM jsonb_populate_record(queues, $2::jsonb))
WHERE name = $1
