-- A queue keeps its name: the dialplan, callers who wait, callbacks and the service go by it. Another name would be another queue,
-- and whoever waits in the old one would be sent away.
CREATE FUNCTION usher_queue_keeps_its_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'queue "%" keeps its name', OLD.name USING
        ERRCODE = 'restrict_violation',
        HINT = 'People read queues.label: change that. For another name add a queue, let members and the dialplan''s USHER_QUEUE change over, '
            'and remove the old one when nobody waits in it.';
END
$$;
COMMENT ON FUNCTION usher_queue_keeps_its_name() IS 'Refuses another name for a queue.';
CREATE TRIGGER queues_keep_their_names BEFORE UPDATE OF name ON queues
    FOR EACH ROW WHEN (NEW.name IS DISTINCT FROM OLD.name) EXECUTE FUNCTION usher_queue_keeps_its_name();
