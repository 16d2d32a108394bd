-- The policy of queues and members, pauses, and what reports need.

-- Queues: how callers and members are brought together. Words and meanings are those of Asterisk's queues.conf.
ALTER TABLE queues
    ADD COLUMN strategy              text NOT NULL DEFAULT 'leastrecent',
    ADD COLUMN retry_seconds         integer NOT NULL DEFAULT 0,
    ADD COLUMN max_waiting           integer,
    ADD COLUMN join_empty            text NOT NULL DEFAULT 'nobody',
    ADD COLUMN leave_empty           text NOT NULL DEFAULT 'nobody',
    ADD COLUMN weight                integer NOT NULL DEFAULT 0,
    ADD COLUMN service_level_seconds integer NOT NULL DEFAULT 20,
    ADD COLUMN wrap_up_seconds       integer NOT NULL DEFAULT 0,
    ADD COLUMN auto_pause_after      integer,
    ADD COLUMN sticky_seconds        integer NOT NULL DEFAULT 0,
    ADD COLUMN overflow              text NOT NULL DEFAULT 'dialplan',
    ADD CONSTRAINT queues_strategy_check CHECK (strategy IN
        ('ringall', 'leastrecent', 'fewestcalls', 'random', 'rrmemory', 'rrordered', 'linear', 'wrandom')),
    ADD CONSTRAINT queues_retry_check CHECK (retry_seconds BETWEEN 0 AND 600),
    ADD CONSTRAINT queues_max_waiting_check CHECK (max_waiting BETWEEN 1 AND 1000000),
    ADD CONSTRAINT queues_join_empty_check CHECK (join_empty ~
        '^(never|nobody|(paused|penalty|inuse|ringing|unavailable|wrapup)(,(paused|penalty|inuse|ringing|unavailable|wrapup))*)$'),
    ADD CONSTRAINT queues_leave_empty_check CHECK (leave_empty ~
        '^(never|nobody|(paused|penalty|inuse|ringing|unavailable|wrapup)(,(paused|penalty|inuse|ringing|unavailable|wrapup))*)$'),
    ADD CONSTRAINT queues_weight_check CHECK (weight BETWEEN 0 AND 1000000),
    ADD CONSTRAINT queues_service_level_check CHECK (service_level_seconds BETWEEN 1 AND 86400),
    ADD CONSTRAINT queues_wrap_up_check CHECK (wrap_up_seconds BETWEEN 0 AND 86400),
    ADD CONSTRAINT queues_auto_pause_after_check CHECK (auto_pause_after BETWEEN 1 AND 1000),
    ADD CONSTRAINT queues_sticky_check CHECK (sticky_seconds BETWEEN 0 AND 31536000),
    ADD CONSTRAINT queues_overflow_check CHECK (overflow ~
        '^(dialplan|queue/[0-9A-Za-z_-]{1,50}|extension/[0-9A-Za-z_-]{1,20})$' AND overflow <> 'queue/' || name);
COMMENT ON COLUMN queues.strategy IS 'Who of the free members is rung: ringall, leastrecent, fewestcalls, random, rrmemory, rrordered, linear or wrandom, each as in queues.conf.';
COMMENT ON COLUMN queues.retry_seconds IS 'Seconds before members who let the call go by are tried for it again; 0 to 600; 0: not before another call.';
COMMENT ON COLUMN queues.max_waiting IS 'How many callers may wait; NULL: any number.';
COMMENT ON COLUMN queues.join_empty IS 'When nobody may enter: never, nobody (is logged on), or words of paused, penalty, inuse, ringing, unavailable, wrapup joined by commas: when for each logged-on member one of them is true.';
COMMENT ON COLUMN queues.leave_empty IS 'When those who wait are sent on; the words of join_empty.';
COMMENT ON COLUMN queues.weight IS 'A member of several queues gets the callers of the heavier one first.';
COMMENT ON COLUMN queues.service_level_seconds IS 'An answer within so many seconds counts as in time; 1 to 86400.';
COMMENT ON COLUMN queues.wrap_up_seconds IS 'Seconds after a talk in which a member is offered nothing; 0 to 86400.';
COMMENT ON COLUMN queues.auto_pause_after IS 'After how many unanswered offers in a row a member is paused; NULL: never.';
COMMENT ON COLUMN queues.sticky_seconds IS 'Seconds for which the member whom a customer spoke with last is preferred for them; 0: not at all.';
COMMENT ON COLUMN queues.overflow IS 'Where callers go whom the queue does not take or keep: dialplan, queue/NAME or extension/NUMBER.';

-- Memberships.
ALTER TABLE memberships
    ADD COLUMN penalty       integer NOT NULL DEFAULT 0,
    ADD COLUMN place         integer NOT NULL DEFAULT 0,
    ADD COLUMN joined_at     timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN calls_taken   bigint NOT NULL DEFAULT 0,
    ADD COLUMN wrap_up_until timestamptz,
    ADD COLUMN kind          text NOT NULL DEFAULT 'dynamic',
    ADD CONSTRAINT memberships_penalty_check CHECK (penalty BETWEEN 0 AND 1000000),
    ADD CONSTRAINT memberships_calls_taken_check CHECK (calls_taken >= 0),
    ADD CONSTRAINT memberships_kind_check CHECK (kind IN ('static', 'dynamic'));
UPDATE memberships SET joined_at = logged_on_changed_at;
COMMENT ON COLUMN memberships.penalty IS 'Callers get members with a lower penalty first.';
COMMENT ON COLUMN memberships.place IS 'Place in the order of the configuration (linear, rrordered): lower first, then by extension.';
COMMENT ON COLUMN memberships.joined_at IS 'When the agent last logged on (rrmemory).';
COMMENT ON COLUMN memberships.calls_taken IS 'Calls of this queue that the agent answered (fewestcalls). A change of this column alone is not announced.';
COMMENT ON COLUMN memberships.wrap_up_until IS 'End of the last wrap-up, which may be over; NULL: never had one. Only moves forward. A change of this column alone is not announced.';
COMMENT ON COLUMN memberships.kind IS 'dynamic: made by a log-on. static: set up by an administrator, logged on from the start. Both outlive a log-off.';
COMMENT ON COLUMN memberships.last_call_at IS 'When the agent''s last call of any queue ended; NULL: never had one. Only moves forward. A change of this column alone is not announced.';

-- Not what the service itself writes with each call and knows already: last_call_at, calls_taken, wrap_up_until.
DROP TRIGGER memberships_changed ON memberships;
CREATE TRIGGER memberships_changed
    AFTER INSERT OR UPDATE OF queue, extension, logged_on, penalty, place, joined_at, kind OR DELETE OR TRUNCATE ON memberships
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();

-- Pauses.
CREATE TABLE pauses (
    extension text NOT NULL,
    queue     text,
    kind      text NOT NULL DEFAULT 'manual',
    reason    text NOT NULL DEFAULT '',
    since     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pauses_extension_fkey FOREIGN KEY (extension) REFERENCES extensions (number) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT pauses_membership_fkey FOREIGN KEY (queue, extension) REFERENCES memberships (queue, extension)
        ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT pauses_kind_check CHECK (kind IN ('manual', 'auto', 'presence')),
    CONSTRAINT pauses_reason_check CHECK (length(reason) <= 200)
);
-- No queue has an empty name, so that '' can stand for everywhere.
CREATE UNIQUE INDEX pauses_key ON pauses (extension, coalesce(queue, ''), kind);
CREATE INDEX pauses_queue_idx ON pauses (queue, extension);
COMMENT ON TABLE pauses IS 'Why agents are offered nothing: while one row applies, whoever set it. One row for each extension, queue and kind.';
COMMENT ON COLUMN pauses.extension IS 'This agent is paused';
COMMENT ON COLUMN pauses.queue IS 'in this queue; NULL: everywhere.';
COMMENT ON COLUMN pauses.kind IS 'Who set it. manual: the agent or a supervisor. auto: the service, after unanswered offers; both end by resuming. presence: the agent''s presence, which ends it.';
COMMENT ON COLUMN pauses.reason IS 'Why, up to 200 characters; may be empty.';
COMMENT ON COLUMN pauses.since IS 'When it began.';
COMMENT ON INDEX pauses_key IS 'One row for each extension, queue and kind.';
COMMENT ON INDEX pauses_queue_idx IS 'For the end of a membership.';
CREATE TRIGGER pauses_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pauses
    FOR EACH STATEMENT EXECUTE FUNCTION usher_changed();

-- History.
ALTER TABLE calls
    ADD COLUMN service_level_seconds integer NOT NULL DEFAULT 20,
    DROP CONSTRAINT calls_outcome_check,
    ADD CONSTRAINT calls_outcome_check CHECK (outcome IN
        ('completed', 'abandoned', 'timed_out', 'no_members', 'unknown_queue', 'stopped', 'lost',
         'full', 'empty', 'overflowed'));
CREATE INDEX calls_queue_idx ON calls (queue, entered_at);
COMMENT ON COLUMN calls.service_level_seconds IS 'The queue''s service level at the time, in seconds.';
COMMENT ON COLUMN calls.outcome IS 'How: completed, abandoned (caller hung up while waiting), timed_out, no_members, unknown_queue, stopped (the service was stopping), lost (found gone after a gap), full, empty (the queue was, of present members), overflowed (sent to another place).';
COMMENT ON INDEX calls_queue_idx IS 'For the calls of a queue.';

ALTER TABLE call_events
    DROP CONSTRAINT call_events_kind_check,
    ADD CONSTRAINT call_events_kind_check CHECK (kind IN
        ('entered', 'offered', 'ringing', 'offer_ended', 'answered', 'ended', 'wrap_up', 'auto_paused', 'overflowed'));
COMMENT ON COLUMN call_events.kind IS 'entered, offered, ringing, offer_ended, answered, ended, wrap_up, auto_paused or overflowed.';
COMMENT ON COLUMN call_events.detail IS 'Further words by kind. entered: server, channel, queue. offered: why (how the member was chosen). ringing: pop (what became of the publish). offer_ended: why. wrap_up: until. ended: outcome.';
COMMENT ON COLUMN call_events.offer IS 'Which offer of the call, if any: each number is higher than those before it, from 1. A service that takes over a waiting caller goes on above the numbers that an earlier run can have used, so numbers may be left out.';
