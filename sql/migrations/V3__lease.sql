-- Which of several services is active, and what keeps the others from writing.

CREATE TABLE leases (
    name          text        CONSTRAINT leases_pkey PRIMARY KEY,
    token         bigint      NOT NULL,
    holder        uuid,
    backend_pid   integer,
    backend_start timestamptz,
    renewed_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL
);
COMMENT ON TABLE leases IS 'Who is active. Written by the services alone: the active one renews its row every second.';
COMMENT ON COLUMN leases.name IS 'What is leased: floor, the right to ring phones and to record calls.';
COMMENT ON COLUMN leases.token IS 'Grows with each change of hands. What a service writes under an older one is refused.';
COMMENT ON COLUMN leases.holder IS 'The process that holds it, by a number that it made at its start; NULL when it was given back.';
COMMENT ON COLUMN leases.backend_pid IS 'With backend_start: the connection by which it was renewed, as in pg_stat_activity. When it is gone, so is the holder.';
COMMENT ON COLUMN leases.backend_start IS 'See backend_pid.';
COMMENT ON COLUMN leases.renewed_at IS 'The last renewal, by the clock of this server.';
COMMENT ON COLUMN leases.expires_at IS 'When it is over, by the clock of this server.';

INSERT INTO leases (name, token, renewed_at, expires_at) VALUES ('floor', 0, now(), now());

-- A service sets usher.token on its connections. Who does not (the command line, people) is not fenced.
CREATE FUNCTION usher_fence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held text := current_setting('usher.token', true);
BEGIN
    IF held <> '' AND held::bigint <> (SELECT token FROM leases WHERE name = 'floor') THEN
        RAISE EXCEPTION 'another service has taken over: its lease is newer than number %', held USING ERRCODE = 'UF001';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION usher_fence() IS 'Refuses what a service writes whose lease another one has taken (SQLSTATE UF001).';

CREATE TRIGGER calls_fence BEFORE INSERT OR UPDATE OR DELETE ON calls
    FOR EACH STATEMENT EXECUTE FUNCTION usher_fence();
CREATE TRIGGER call_events_fence BEFORE INSERT OR UPDATE OR DELETE ON call_events
    FOR EACH STATEMENT EXECUTE FUNCTION usher_fence();
CREATE TRIGGER memberships_fence BEFORE INSERT OR UPDATE OR DELETE ON memberships
    FOR EACH STATEMENT EXECUTE FUNCTION usher_fence();
CREATE TRIGGER pauses_fence BEFORE INSERT OR UPDATE OR DELETE ON pauses
    FOR EACH STATEMENT EXECUTE FUNCTION usher_fence();
