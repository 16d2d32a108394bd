-- Transfers: the number of a queue, and what the history says of a transfer and of hold.

ALTER TABLE queues
    ADD COLUMN number text,
    ADD CONSTRAINT queues_number_key UNIQUE (number),
    ADD CONSTRAINT queues_number_check CHECK (number ~ '^[0-9*#]{1,20}$');
COMMENT ON COLUMN queues.number IS 'What an agent dials to transfer a caller into this queue: 1 to 20 of 0-9 * #; an extension of the same number goes before it. NULL: none.';

-- History.
ALTER TABLE call_events
    DROP CONSTRAINT call_events_kind_check,
    ADD CONSTRAINT call_events_kind_check CHECK (kind IN
        ('entered', 'offered', 'ringing', 'offer_ended', 'answered', 'ended', 'wrap_up', 'auto_paused', 'overflowed',
         'transferred', 'transfer_failed', 'held', 'resumed'));
COMMENT ON COLUMN call_events.kind IS 'entered, offered, ringing, offer_ended, answered, ended, wrap_up, auto_paused, overflowed; of transfers: transferred, transfer_failed; of hold: held, resumed.';
COMMENT ON COLUMN call_events.detail IS 'Further words by kind. entered: server, channel, queue. offered: why (how the member was chosen). ringing: pop (what became of the publish). offer_ended: why. wrap_up: until. ended: outcome. transferred: to (extension/NUMBER, queue/NAME or outside/NUMBER), how (phone, code, attended). transfer_failed: why (busy, rejected, no_answer, unavailable, queue_closed).';
