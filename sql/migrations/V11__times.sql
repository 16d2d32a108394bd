-- PostgreSQL knows times that the program does not: infinity, and years after 9999. One of them, typed by hand, would be read by the
-- service and every report. What is there already is mended: unknown where that is allowed, and else the nearest that is known.
CREATE FUNCTION usher_mended(at timestamptz, instead timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN at IS NULL OR at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00' THEN at ELSE instead END
$$;

UPDATE memberships
SET logged_on_changed_at = usher_mended(logged_on_changed_at, now()), joined_at = usher_mended(joined_at, now()),
    last_call_at = usher_mended(last_call_at, NULL), wrap_up_until = usher_mended(wrap_up_until, NULL),
    back_at = usher_mended(back_at, NULL)
WHERE (logged_on_changed_at, joined_at, last_call_at, wrap_up_until, back_at) IS DISTINCT FROM
      (usher_mended(logged_on_changed_at, now()), usher_mended(joined_at, now()), usher_mended(last_call_at, NULL),
       usher_mended(wrap_up_until, NULL), usher_mended(back_at, NULL));
UPDATE pauses SET since = now() WHERE since <> usher_mended(since, now());
UPDATE calls
SET entered_at = usher_mended(entered_at, coalesce(usher_mended(answered_at, NULL), usher_mended(ended_at, NULL), now())),
    answered_at = usher_mended(answered_at, coalesce(usher_mended(ended_at, NULL), usher_mended(entered_at, NULL), now())),
    ended_at = usher_mended(ended_at, coalesce(usher_mended(answered_at, NULL), usher_mended(entered_at, NULL), now()))
WHERE (entered_at, answered_at, ended_at) IS DISTINCT FROM
      (usher_mended(entered_at, NULL), usher_mended(answered_at, NULL), usher_mended(ended_at, NULL));
UPDATE call_events
SET at = coalesce((SELECT entered_at FROM calls WHERE calls.id = call_events.call_id), now())
WHERE usher_mended(at, NULL) IS NULL;
UPDATE callbacks
SET since = usher_mended(since, now()), entered_at = usher_mended(entered_at, now()), asked_at = usher_mended(asked_at, now()),
    keep_until = usher_mended(keep_until, now() + interval '8 hours'), again_at = usher_mended(again_at, NULL),
    cancelled_at = usher_mended(cancelled_at, now())
WHERE (since, entered_at, asked_at, keep_until, again_at, cancelled_at) IS DISTINCT FROM
      (usher_mended(since, NULL), usher_mended(entered_at, NULL), usher_mended(asked_at, NULL), usher_mended(keep_until, NULL),
       usher_mended(again_at, NULL), usher_mended(cancelled_at, NULL));
UPDATE leases
SET backend_start = usher_mended(backend_start, NULL), renewed_at = usher_mended(renewed_at, now()), expires_at = usher_mended(expires_at, now())
WHERE (backend_start, renewed_at, expires_at) IS DISTINCT FROM
      (usher_mended(backend_start, NULL), usher_mended(renewed_at, NULL), usher_mended(expires_at, NULL));
DROP FUNCTION usher_mended(timestamptz, timestamptz);

ALTER TABLE memberships
    ADD CONSTRAINT memberships_logged_on_changed_at_check CHECK (logged_on_changed_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT memberships_joined_at_check CHECK (joined_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT memberships_last_call_at_check CHECK (last_call_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT memberships_wrap_up_until_check CHECK (wrap_up_until BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT memberships_back_at_check CHECK (back_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00');
ALTER TABLE pauses
    ADD CONSTRAINT pauses_since_check CHECK (since BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00');
ALTER TABLE calls
    ADD CONSTRAINT calls_entered_at_check CHECK (entered_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT calls_answered_at_check CHECK (answered_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT calls_ended_at_check CHECK (ended_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00');
ALTER TABLE call_events
    ADD CONSTRAINT call_events_at_check CHECK (at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00');
ALTER TABLE callbacks
    ADD CONSTRAINT callbacks_since_check CHECK (since BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT callbacks_entered_at_check CHECK (entered_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT callbacks_asked_at_check CHECK (asked_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT callbacks_keep_until_check CHECK (keep_until BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT callbacks_again_at_check CHECK (again_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT callbacks_cancelled_at_check CHECK (cancelled_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00');
ALTER TABLE leases
    ADD CONSTRAINT leases_backend_start_check CHECK (backend_start BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT leases_renewed_at_check CHECK (renewed_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00'),
    ADD CONSTRAINT leases_expires_at_check CHECK (expires_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-01-01 00:00:00+00');
