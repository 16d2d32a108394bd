-- What a queue makes of its members' presence at their XMPP clients.
ALTER TABLE queues
    ADD COLUMN presence_away_seconds integer NOT NULL DEFAULT 0,
    ADD COLUMN presence_offline_seconds integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT queues_presence_away_check CHECK (presence_away_seconds BETWEEN 0 AND 86400),
    ADD CONSTRAINT queues_presence_offline_check CHECK (presence_offline_seconds BETWEEN 0 AND 86400);
COMMENT ON COLUMN queues.presence_away_seconds IS 'Seconds after which a member who is away, or not to be disturbed, at their XMPP clients is paused here until they are available; 0: not at all.';
COMMENT ON COLUMN queues.presence_offline_seconds IS 'Seconds after which a member who is at no XMPP client is warned, and a minute later logged off here; 0: not at all.';
COMMENT ON COLUMN pauses.kind IS 'Who set it. manual: the agent or a supervisor. auto: the service, after unanswered offers. presence: the agent''s presence, which ends it. All of them end by resuming.';
