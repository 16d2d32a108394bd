-- Callers whom members take, or leave to others, by their own word.
ALTER TABLE queues
    ADD COLUMN claim_seconds integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT queues_claim_check CHECK (claim_seconds BETWEEN 0 AND 3600);
COMMENT ON COLUMN queues.claim_seconds IS 'Seconds for which a caller is given to nobody but the member who asks for them (take), before the strategy has them; 0: not at all.';
ALTER TABLE call_events
    DROP CONSTRAINT call_events_kind_check,
    ADD CONSTRAINT call_events_kind_check CHECK (kind IN
        ('entered', 'offered', 'ringing', 'offer_ended', 'declined', 'answered', 'ended', 'wrap_up', 'auto_paused', 'overflowed',
         'transferred', 'transfer_failed', 'held', 'resumed', 'callback_asked', 'callback_called', 'callback_missed'));
COMMENT ON COLUMN call_events.kind IS 'entered, offered, ringing, offer_ended, declined (a member has left the call to others), answered, ended, wrap_up, auto_paused, overflowed; of transfers: transferred, transfer_failed; of hold: held, resumed; of callbacks: callback_asked, callback_called, callback_missed.';
