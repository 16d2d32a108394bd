-- cli::queue::change(): changes the settings of a queue that the object holds; null empties one; what it does not hold stays.
UPDATE queues
SET (label, number, announcement, greeting, moh_class, ring_time_seconds, queue_timeout_seconds, strategy, retry_seconds, max_waiting,
     join_empty, leave_empty, weight, service_level_seconds, wrap_up_seconds, auto_pause_after, sticky_seconds, claim_seconds,
     presence_away_seconds, presence_offline_seconds, overflow, callback_key, callback_tries, callback_retry_seconds, callback_ring_seconds, callback_keep_seconds,
     announce_frequency_seconds, announce_position, announce_holdtime, periodic_announce, periodic_announce_frequency_seconds,
     member_greeting, recording, recording_prompt, link) =
    (SELECT label, number, announcement, greeting, moh_class, ring_time_seconds, queue_timeout_seconds, strategy, retry_seconds,
            max_waiting, join_empty, leave_empty, weight, service_level_seconds, wrap_up_seconds, auto_pause_after,
            sticky_seconds, claim_seconds, presence_away_seconds, presence_offline_seconds, overflow,
            callback_key, callback_tries, callback_retry_seconds, callback_ring_seconds, callback_keep_seconds,
            announce_frequency_seconds, announce_position, announce_holdtime, periodic_announce,
            periodic_announce_frequency_seconds, member_greeting, recording, recording_prompt, link
     FROM jsonb_populate_record(queues, $2::jsonb))
WHERE name = $1
