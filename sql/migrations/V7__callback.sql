-- Callback: a waiting caller presses a key, hangs up, keeps the place, and is called when it is their turn.

ALTER TABLE queues
    ADD COLUMN callback_key           text NOT NULL DEFAULT '',
    ADD COLUMN callback_tries         integer NOT NULL DEFAULT 3,
    ADD COLUMN callback_retry_seconds integer NOT NULL DEFAULT 300,
    ADD COLUMN callback_ring_seconds  integer NOT NULL DEFAULT 30,
    ADD COLUMN callback_keep_seconds  integer NOT NULL DEFAULT 28800,
    ADD CONSTRAINT queues_callback_key_check CHECK (callback_key ~ '^[0-9*#]?$'),
    ADD CONSTRAINT queues_callback_tries_check CHECK (callback_tries BETWEEN 1 AND 100),
    ADD CONSTRAINT queues_callback_retry_check CHECK (callback_retry_seconds BETWEEN 1 AND 86400),
    ADD CONSTRAINT queues_callback_ring_check CHECK (callback_ring_seconds BETWEEN 5 AND 120),
    ADD CONSTRAINT queues_callback_keep_check CHECK (callback_keep_seconds BETWEEN 60 AND 604800);
COMMENT ON COLUMN queues.callback_key IS 'What a waiting caller presses to be called back: one of 0-9, * and #. Empty: nobody is called back.';
COMMENT ON COLUMN queues.callback_tries IS 'How often a caller is tried; 1 to 100.';
COMMENT ON COLUMN queues.callback_retry_seconds IS 'Seconds after a try that did not reach the caller before the next one; 1 to 86400.';
COMMENT ON COLUMN queues.callback_ring_seconds IS 'Seconds that the caller''s phone rings; 5 to 120.';
COMMENT ON COLUMN queues.callback_keep_seconds IS 'Seconds that a callback is kept, from the key on; 60 to 604800.';

CREATE TABLE callbacks (
    call          uuid NOT NULL,
    queue         text NOT NULL,
    server        text NOT NULL,
    customer_id   bigint NOT NULL,
    customer_code text NOT NULL,
    customer_name text NOT NULL,
    caller_number text NOT NULL,
    caller_name   text NOT NULL,
    priority      integer NOT NULL,
    since         timestamptz NOT NULL,
    entered_at    timestamptz NOT NULL,
    penalty_least bigint NOT NULL DEFAULT 0,
    penalty_most  bigint,
    asked_at      timestamptz NOT NULL,
    keep_until    timestamptz NOT NULL,
    state         text NOT NULL DEFAULT 'waiting',
    attempt       integer NOT NULL DEFAULT 0,
    tries         integer NOT NULL DEFAULT 0,
    again_at      timestamptz,
    extension     text,
    step          uuid NOT NULL,
    cancelled_at  timestamptz,
    CONSTRAINT callbacks_pkey PRIMARY KEY (call),
    CONSTRAINT callbacks_state_check CHECK (state IN ('waiting', 'called', 'talking', 'ended'))
);
CREATE INDEX callbacks_open_idx ON callbacks (queue, since) WHERE state <> 'ended';
COMMENT ON TABLE callbacks IS 'Callers who asked to be called back. Written by the service alone, which takes up the open ones at its start; cancelled_at is for everybody. How a call ended is in calls.';
COMMENT ON COLUMN callbacks.call IS 'The call that asked; the same as in calls.';
COMMENT ON COLUMN callbacks.queue IS 'Queue in which the place is kept.';
COMMENT ON COLUMN callbacks.server IS 'Asterisk server on which the caller was, and which calls back.';
COMMENT ON COLUMN callbacks.customer_id IS 'Id of the customer at the time.';
COMMENT ON COLUMN callbacks.customer_code IS 'Code that was keyed in.';
COMMENT ON COLUMN callbacks.customer_name IS 'Name of the customer at the time.';
COMMENT ON COLUMN callbacks.caller_number IS 'Number that is called.';
COMMENT ON COLUMN callbacks.caller_name IS 'Name that was shown; mostly empty.';
COMMENT ON COLUMN callbacks.priority IS 'The place in line: higher is served before lower,';
COMMENT ON COLUMN callbacks.since IS 'then who has waited in the queue since an earlier time.';
COMMENT ON COLUMN callbacks.entered_at IS 'When the call entered its first queue.';
COMMENT ON COLUMN callbacks.penalty_least IS 'The caller may be given no member of a lower penalty,';
COMMENT ON COLUMN callbacks.penalty_most IS 'and none of a higher one; NULL: of any.';
COMMENT ON COLUMN callbacks.asked_at IS 'When the key was pressed.';
COMMENT ON COLUMN callbacks.keep_until IS 'Until when it is kept.';
COMMENT ON COLUMN callbacks.state IS 'waiting; called (the caller''s phone was asked to ring); talking; ended.';
COMMENT ON COLUMN callbacks.attempt IS 'Number of the last try, from 1; 0: none yet.';
COMMENT ON COLUMN callbacks.tries IS 'Tries that came to nothing.';
COMMENT ON COLUMN callbacks.again_at IS 'Not to be tried before; NULL: whenever it is their turn.';
COMMENT ON COLUMN callbacks.extension IS 'Member of the last try.';
COMMENT ON COLUMN callbacks.step IS 'The event in call_events that this row tells of last: an older one changes nothing.';
COMMENT ON COLUMN callbacks.cancelled_at IS 'When somebody said that it is not wanted any more; the service ends it then. A change is announced.';
COMMENT ON INDEX callbacks_open_idx IS 'For those that are not over.';
CREATE TRIGGER callbacks_fence BEFORE INSERT OR UPDATE OR DELETE ON callbacks
    FOR EACH STATEMENT EXECUTE FUNCTION usher_fence();
CREATE TRIGGER callbacks_changed AFTER UPDATE OF cancelled_at ON callbacks
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();

-- History.
ALTER TABLE calls
    DROP CONSTRAINT calls_outcome_check,
    ADD CONSTRAINT calls_outcome_check CHECK (outcome IN
        ('completed', 'abandoned', 'timed_out', 'no_members', 'unknown_queue', 'stopped', 'lost',
         'full', 'empty', 'overflowed', 'not_reached', 'called_again', 'cancelled'));
COMMENT ON COLUMN calls.outcome IS 'How: completed, abandoned (caller hung up while waiting), timed_out, no_members, unknown_queue, stopped (the service was stopping), lost (found gone after a gap), full, empty (the queue was, of present members), overflowed (sent to another place); of callers who asked to be called back: not_reached, called_again (that call has the place), cancelled.';
ALTER TABLE call_events
    DROP CONSTRAINT call_events_kind_check,
    ADD CONSTRAINT call_events_kind_check CHECK (kind IN
        ('entered', 'offered', 'ringing', 'offer_ended', 'answered', 'ended', 'wrap_up', 'auto_paused', 'overflowed',
         'transferred', 'transfer_failed', 'held', 'resumed', 'callback_asked', 'callback_called', 'callback_missed'));
COMMENT ON COLUMN call_events.kind IS 'entered, offered, ringing, offer_ended, answered, ended, wrap_up, auto_paused, overflowed; of transfers: transferred, transfer_failed; of hold: held, resumed; of callbacks: callback_asked, callback_called, callback_missed.';
