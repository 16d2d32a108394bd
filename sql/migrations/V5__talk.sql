-- What belongs to the talk of a caller and a member.
ALTER TABLE queues
    ADD COLUMN member_greeting  text NOT NULL DEFAULT '',
    ADD COLUMN recording        boolean NOT NULL DEFAULT false,
    ADD COLUMN recording_prompt text NOT NULL DEFAULT 'usher/recorded',
    ADD CONSTRAINT queues_recording_prompt_check CHECK
        (recording_prompt ~ '^[^,&[:space:]]*$' AND length(recording_prompt) <= 200),
    ADD CONSTRAINT queues_member_greeting_check CHECK
        (member_greeting ~ '^[^,&[:space:]]*$' AND length(member_greeting) <= 200);
COMMENT ON COLUMN queues.member_greeting IS 'Sound that a member hears after the answer and before the caller, for ten seconds at most, in Asterisk''s form without extension. Empty: none.';
COMMENT ON COLUMN queues.recording IS 'Whether talks of callers who enter from now on are recorded.';
COMMENT ON COLUMN queues.recording_prompt IS 'Sound that tells callers so on entering, before the greeting, in Asterisk''s form without extension. Empty: none, they are told otherwise.';

ALTER TABLE calls ADD COLUMN recording text;
COMMENT ON COLUMN calls.recording IS 'File with the recording of the talk, in the folder recording of Asterisk''s spool on that server; NULL: none.';
