-- The address of a customer's page, for whoever shows a screen pop.
ALTER TABLE queues
    ADD COLUMN link text NOT NULL DEFAULT '',
    ADD CONSTRAINT queues_link_check CHECK
        (link = '' OR (link ~ '^https?://[^[:space:][:cntrl:]]+$' AND length(link) <= 1000));
COMMENT ON COLUMN queues.link IS 'Address of a customer''s page with placeholders ({code}, {id}, {name}, {number}; or {token} alone), sent with each screen pop. Empty: none.';
