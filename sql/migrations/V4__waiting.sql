-- What callers are told while they wait. Words and meanings are those of Asterisk's queues.conf.
ALTER TABLE queues
    ADD COLUMN announce_frequency_seconds          integer NOT NULL DEFAULT 0,
    ADD COLUMN announce_position                   boolean NOT NULL DEFAULT true,
    ADD COLUMN announce_holdtime                   boolean NOT NULL DEFAULT false,
    ADD COLUMN periodic_announce                   text NOT NULL DEFAULT '',
    ADD COLUMN periodic_announce_frequency_seconds integer NOT NULL DEFAULT 60,
    ADD CONSTRAINT queues_announce_frequency_check CHECK
        (announce_frequency_seconds = 0 OR announce_frequency_seconds BETWEEN 5 AND 86400),
    ADD CONSTRAINT queues_periodic_announce_check CHECK
        (periodic_announce ~ '^([^,&[:space:]]+(&[^,&[:space:]]+)*)?$' AND length(periodic_announce) <= 1000),
    ADD CONSTRAINT queues_periodic_announce_frequency_check CHECK
        (periodic_announce_frequency_seconds = 0 OR periodic_announce_frequency_seconds BETWEEN 5 AND 86400);
COMMENT ON COLUMN queues.announce_frequency_seconds IS 'Seconds from one announcement of place and wait to the next, the first after so many; 5 to 86400; 0: none.';
COMMENT ON COLUMN queues.announce_position IS 'Whether their place in line is among it.';
COMMENT ON COLUMN queues.announce_holdtime IS 'Whether it says how long they are going to wait, once calls of the last hour tell. A guess, from how long the last 20 callers waited and from which place.';
COMMENT ON COLUMN queues.periodic_announce IS 'Sounds that waiting callers hear time and again, each in Asterisk''s form without extension, joined by &. Empty: none.';
COMMENT ON COLUMN queues.periodic_announce_frequency_seconds IS 'Seconds from one periodic announcement to the next, the first after so many; 5 to 86400; 0: none.';
