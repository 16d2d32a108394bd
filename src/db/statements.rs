//! Every SQL statement of the program, in one place: short ones here, long ones in `sql/queries`.
//!
//! The first line of each names the function that runs it, which the server's log and `pg_stat_activity` then show.
//! A test migrates a fresh database and has it prepare them all.

/// What is read of an agent; likewise the next ones.
macro_rules! agents {
    () => {
        "SELECT number, name, jid, interface FROM extensions"
    };
}
macro_rules! queues {
    () => {
        "SELECT name, label, number, announcement, greeting, moh_class, ring_time_seconds, queue_timeout_seconds, strategy, \
         retry_seconds, max_waiting, join_empty, leave_empty, weight, service_level_seconds, wrap_up_seconds, \
         auto_pause_after, sticky_seconds, claim_seconds, presence_away_seconds, presence_offline_seconds, overflow, \
         callback_key, callback_tries, callback_retry_seconds, callback_ring_seconds, callback_keep_seconds, \
         announce_frequency_seconds, announce_position, announce_holdtime, periodic_announce, \
         periodic_announce_frequency_seconds, member_greeting, recording, recording_prompt, link FROM queues"
    };
}
macro_rules! memberships {
    () => {
        "SELECT queue, extension, logged_on, last_call_at, penalty, place, joined_at, back_at, calls_taken, \
         wrap_up_until, kind \
         FROM memberships"
    };
}
macro_rules! pauses {
    () => {
        "SELECT extension, queue, kind, reason, since FROM pauses"
    };
}
macro_rules! in_order_of_pauses {
    () => {
        " ORDER BY extension COLLATE \"C\", queue COLLATE \"C\" NULLS FIRST, kind"
    };
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub const $name: &str = $sql;)*

        /// All of them, by name.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

statements! {
    /// Waits for its turn to migrate.
    MIGRATION_LOCK = "-- migrate::run()\nSELECT pg_advisory_lock($1)";
    /// Lets the next one migrate.
    MIGRATION_UNLOCK = "-- migrate::run()\nSELECT pg_advisory_unlock($1)";
    /// Whether anything was ever migrated.
    MIGRATION_TABLE_EXISTS = "-- migrate::pending()\nSELECT to_regclass('refinery_schema_history') IS NOT NULL";
    /// Versions that were applied.
    MIGRATIONS_APPLIED = "-- migrate::pending()\nSELECT version FROM refinery_schema_history ORDER BY version";

    /// What the service does to tables and this role may not do.
    RIGHTS_MISSING = include_str!("../../sql/queries/rights_missing.sql");

    /// All agents, in the order of [`crate::domain::queue::roster::Roster`].
    ROSTER_AGENTS = concat!("-- roster::load()\n", agents!(), " ORDER BY number COLLATE \"C\"");
    /// All queues, likewise.
    ROSTER_QUEUES = concat!("-- roster::load()\n", queues!(), " ORDER BY name COLLATE \"C\"");
    /// All memberships, likewise.
    ROSTER_MEMBERSHIPS =
        concat!("-- roster::load()\n", memberships!(), " ORDER BY queue COLLATE \"C\", extension COLLATE \"C\"");
    /// All pauses.
    ROSTER_PAUSES = concat!("-- roster::load()\n", pauses!(), in_order_of_pauses!());
    /// Agents by their numbers.
    CHANGED_AGENTS = concat!("-- roster::load_rows()\n", agents!(), " WHERE number = ANY ($1)");
    /// Queues by their names.
    CHANGED_QUEUES = concat!("-- roster::load_rows()\n", queues!(), " WHERE name = ANY ($1)");
    /// Memberships by the names of queues and the numbers of agents, in pairs.
    CHANGED_MEMBERSHIPS = concat!(
        "-- roster::load_rows()\n", memberships!(),
        " WHERE (queue, extension) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
    );
    /// The pauses of agents.
    CHANGED_PAUSES = concat!("-- roster::load_rows(), roster::pauses_of()\n", pauses!(), " WHERE extension = ANY ($1)", in_order_of_pauses!());
    /// Has the listener told when everything was announced that these rows can hold.
    ROSTER_MARK = "-- roster::load_rows()\nSELECT pg_notify('usher_loaded', $1)";
    /// With whom each customer spoke last.
    LAST_TALKS = include_str!("../../sql/queries/last_talks.sql");

    /// One customer by code.
    CUSTOMER_BY_CODE = "-- customers::find()\nSELECT id, code, name FROM customers WHERE code = $1";
    /// Several customers by code.
    CUSTOMERS_BY_CODES = "-- customers::find_all()\nSELECT id, code, name FROM customers WHERE code = ANY ($1)";

    /// Log a member on.
    LOG_ON = include_str!("../../sql/queries/log_on.sql");
    /// Log a member off.
    LOG_OFF = include_str!("../../sql/queries/log_off.sql");

    /// Calls that entered a queue.
    RECORD_CALLS = include_str!("../../sql/queries/record_calls.sql");
    /// Calls that were answered.
    RECORD_ANSWERS = include_str!("../../sql/queries/record_answers.sql");
    /// Calls that are over.
    RECORD_ENDS = include_str!("../../sql/queries/record_ends.sql");
    /// Calls that are recorded.
    RECORD_RECORDINGS = include_str!("../../sql/queries/record_recordings.sql");
    /// Members who got another number in a call.
    RECORD_RENUMBERED = include_str!("../../sql/queries/record_renumbered.sql");
    /// Ends of members' last calls.
    RECORD_LAST_CALLS = include_str!("../../sql/queries/record_last_calls.sql");
    /// Wrap-up of members.
    RECORD_WRAP_UPS = include_str!("../../sql/queries/record_wrap_ups.sql");
    /// Members paused by the service.
    RECORD_AUTO_PAUSES = include_str!("../../sql/queries/record_auto_pauses.sql");
    /// Steps of calls.
    RECORD_EVENTS = include_str!("../../sql/queries/record_events.sql");

    /// Callers who asked to be called back.
    RECORD_CALLBACKS = include_str!("../../sql/queries/record_callbacks.sql");
    /// What became of them.
    RECORD_CALLBACK_STEPS = include_str!("../../sql/queries/record_callback_steps.sql");
    /// Calls that have no end.
    CALLS_LEFT_OPEN = include_str!("../../sql/queries/calls_left_open.sql");
    /// Callbacks that are not over.
    CALLBACKS_OPEN = include_str!("../../sql/queries/callbacks_open.sql");
    /// Those of them that are not wanted any more.
    CALLBACKS_CANCELLED = "-- callbacks::cancelled()\n\
        SELECT call FROM callbacks WHERE cancelled_at IS NOT NULL AND state <> 'ended'";
    /// The same for people.
    CALLBACK_LIST = include_str!("../../sql/queries/callback_list.sql");
    /// How one stands.
    CALLBACK_FIND = "-- cli::callback::cancel()\nSELECT state FROM callbacks WHERE call = $1";
    /// One that is not wanted any more.
    CALLBACK_CANCEL = "-- cli::callback::cancel()\n\
        UPDATE callbacks SET cancelled_at = coalesce(cancelled_at, now()) WHERE call = $1 AND state IN ('waiting', 'called')";

    /// Everybody with a phone.
    EXTENSION_LIST = "-- cli::extension::run()\nSELECT number, name, jid, interface FROM extensions ORDER BY number";
    /// One more.
    EXTENSION_ADD = "-- cli::extension::run()\nINSERT INTO extensions (number, name, jid, interface) VALUES ($1, $2, $3, $4)";
    /// What is not given stays.
    EXTENSION_CHANGE = "-- cli::extension::run()\n\
        UPDATE extensions SET name = coalesce($2, name), jid = coalesce($3, jid), interface = coalesce($4, interface) \
        WHERE number = $1";
    /// Who else is rung there: the technology counts in any case, as in Asterisk.
    EXTENSION_SHARING = "-- cli::extension::run()\n\
        SELECT number FROM extensions WHERE number <> $2 \
        AND lower(split_part(interface, '/', 1)) = lower(split_part($1, '/', 1)) \
        AND substr(interface, strpos(interface, '/')) = substr($1, strpos($1, '/')) ORDER BY number LIMIT 1";
    /// One less.
    EXTENSION_REMOVE = "-- cli::extension::run()\nDELETE FROM extensions WHERE number = $1";
    /// Where an extension is a member.
    EXTENSION_QUEUES = "-- cli::extension::run()\nSELECT queue FROM memberships WHERE extension = $1 ORDER BY queue";

    /// Every customer.
    CUSTOMER_LIST = "-- cli::customer::run()\nSELECT id, code, name FROM customers ORDER BY code";
    /// One more.
    CUSTOMER_ADD = "-- cli::customer::run()\nINSERT INTO customers (code, name) VALUES ($1, $2)";
    /// What is not given stays.
    CUSTOMER_CHANGE = "-- cli::customer::run()\n\
        UPDATE customers SET code = coalesce($2, code), name = coalesce($3, name) WHERE code = $1";
    /// One less.
    CUSTOMER_REMOVE = "-- cli::customer::run()\nDELETE FROM customers WHERE code = $1";

    /// Every queue, with what fits on a line.
    QUEUE_LIST = "-- cli::queue::run()\n\
        SELECT name, label, strategy, ring_time_seconds, queue_timeout_seconds, max_waiting, wrap_up_seconds, weight, overflow, \
        (SELECT count(*) FROM memberships m WHERE m.queue = q.name) AS members, \
        (SELECT count(*) FROM memberships m WHERE m.queue = q.name AND m.logged_on) AS logged_on \
        FROM queues q ORDER BY name";
    /// Every queue with everything.
    QUEUE_LIST_ALL = "-- cli::queue::run()\nSELECT to_jsonb(q) FROM queues q ORDER BY name";
    /// One queue with everything.
    QUEUE_SHOW = "-- cli::queue::run()\nSELECT to_jsonb(q) FROM queues q WHERE name = $1";
    /// Whether there is such a queue.
    QUEUE_FIND = "-- cli::queue::change()\nSELECT name FROM queues WHERE name = $1";
    /// What is dialled so.
    QUEUE_BY_NUMBER = "-- cli::extension::run()\nSELECT name FROM queues WHERE number = $1";
    /// Whether there is such an extension.
    EXTENSION_FIND = "-- cli::queue::change(), cli::member::resume()\nSELECT number FROM extensions WHERE number = $1";
    /// One more, with the name as its label if none is given.
    QUEUE_ADD = "-- cli::queue::run()\nINSERT INTO queues (name, label) VALUES ($1, coalesce($2, $1))";
    /// What is not given stays.
    QUEUE_CHANGE = include_str!("../../sql/queries/queue_change.sql");
    /// One less.
    QUEUE_REMOVE = "-- cli::queue::run()\nDELETE FROM queues WHERE name = $1";
    /// Who is a member of a queue.
    QUEUE_MEMBERS = "-- cli::queue::run()\nSELECT extension FROM memberships WHERE queue = $1 ORDER BY extension";

    /// Queues whose callers overflow into this one.
    QUEUE_SOURCES = "-- cli::queue::run()\nSELECT name FROM queues WHERE overflow = 'queue/' || $1 ORDER BY name";

    /// Who serves where.
    MEMBER_LIST = include_str!("../../sql/queries/member_list.sql");
    /// One more: a static one is logged on. Brings along the end of the last call of other queues.
    MEMBER_ADD = "-- cli::member::run()\n\
        INSERT INTO memberships (queue, extension, penalty, place, kind, logged_on, last_call_at) \
        VALUES ($1, $2, $3, $4, $5, $5 = 'static', (SELECT max(last_call_at) FROM memberships WHERE extension = $2))";
    /// What is not given stays.
    MEMBER_CHANGE = "-- cli::member::run()\n\
        UPDATE memberships SET penalty = coalesce($3, penalty), place = coalesce($4, place), kind = coalesce($5, kind) \
        WHERE queue = $1 AND extension = $2";
    /// Off the queue, for who tells those who are no members.
    MEMBER_LOG_OFF = "-- cli::member::run()\n\
        UPDATE memberships SET logged_on = false, \
        logged_on_changed_at = CASE WHEN logged_on THEN now() ELSE logged_on_changed_at END \
        WHERE queue = $1 AND extension = $2";
    /// Whether there is such a member.
    MEMBER_FIND = "-- cli::member::resume()\nSELECT extension FROM memberships WHERE extension = $1 AND queue = $2";
    /// A pause by hand, or another reason for it.
    PAUSE = "-- cli::member::run(), members::pause()\n\
        INSERT INTO pauses (extension, queue, reason) VALUES ($1, $2, $3) \
        ON CONFLICT (extension, coalesce(queue, ''), kind) DO UPDATE SET reason = excluded.reason";
    /// The end of pauses: of all, or of those in one queue; also of one that the service has set and not written yet.
    RESUME = "-- cli::member::resume(), members::resume()\n\
        WITH back AS (UPDATE memberships SET back_at = now() WHERE extension = $1 AND ($2::text IS NULL OR queue = $2)) \
        DELETE FROM pauses WHERE extension = $1 AND ($2::text IS NULL OR queue = $2)";
    /// A pause by presence: of a member who is logged on, is not paused by hand, and has not said to be there for as long as that takes.
    PRESENCE_PAUSE = "-- members::by_presence()\n\
        INSERT INTO pauses (extension, queue, kind, reason) \
        SELECT m.extension, m.queue, 'presence', $3 FROM memberships AS m JOIN queues AS q ON q.name = m.queue \
        WHERE m.extension = $1 AND m.queue = $2 AND m.logged_on AND q.presence_away_seconds > 0 \
        AND greatest(m.joined_at, m.back_at) <= now() - make_interval(secs => q.presence_away_seconds) \
        AND NOT EXISTS (SELECT FROM pauses AS p \
            WHERE p.extension = $1 AND p.kind = 'manual' AND (p.queue IS NULL OR p.queue = $2)) \
        ON CONFLICT DO NOTHING";
    /// The end of a pause by presence: that everywhere, or in one queue.
    PRESENCE_RESUME = "-- members::by_presence()\n\
        DELETE FROM pauses WHERE extension = $1 AND queue IS NOT DISTINCT FROM $2 AND kind = 'presence'";
    /// A log-off by presence: of a member who has not said to be there for as long as that takes.
    PRESENCE_LOG_OFF = "-- members::by_presence()\n\
        UPDATE memberships AS m SET logged_on = false, logged_on_changed_at = now() FROM queues AS q \
        WHERE q.name = m.queue AND m.extension = $1 AND m.queue = $2 AND m.logged_on AND q.presence_offline_seconds > 0 \
        AND greatest(m.joined_at, m.back_at) <= now() - make_interval(secs => q.presence_offline_seconds)";
    /// Pauses that are left.
    PAUSES = "-- cli::member::resume()\n\
        SELECT kind || CASE WHEN queue IS NULL THEN ' everywhere' ELSE ' in ' || queue END \
        || CASE WHEN reason = '' THEN '' ELSE ': ' || reason END \
        FROM pauses WHERE extension = $1 AND ($2::text IS NULL OR queue IS NULL OR queue = $2) ORDER BY since, kind";
    /// One less.
    MEMBER_REMOVE = "-- cli::member::run()\nDELETE FROM memberships WHERE queue = $1 AND extension = $2";

    /// The calls of a report.
    REPORT_CALLS = include_str!("../../sql/queries/report_calls.sql");
    /// Who has called in vain.
    LOST_CALL = include_str!("../../sql/queries/lost_call.sql");
    /// Whether there is such a queue, or was when a call entered it.
    REPORT_QUEUE = "-- cli::report::known()\n\
        (SELECT name FROM queues WHERE name = $1) UNION ALL (SELECT queue FROM calls WHERE queue = $1 LIMIT 1)";
    /// Whether there is such an extension, or was when it answered a call.
    REPORT_EXTENSION = "-- cli::report::known()\n\
        (SELECT number FROM extensions WHERE number = $1) \
        UNION ALL (SELECT answered_by FROM calls WHERE answered_by = $1 LIMIT 1)";
    /// What is known of a call.
    WHY_CALL = "-- cli::why::run(), history::of()\n\
        SELECT to_jsonb(c) FROM calls c WHERE id = $1";
    /// What happened to a call.
    WHY_EVENTS = "-- cli::why::run(), history::of()\n\
        SELECT at, kind, extension, offer, detail FROM call_events WHERE call_id = $1 ORDER BY at, id";
    /// The last call of the last day that an agent was offered.
    WHY_LAST = "-- history::last_offered()\n\
        SELECT call_id FROM call_events WHERE extension = $1 AND kind = 'offered' AND at > now() - interval '1 day' \
        ORDER BY at DESC LIMIT 1";
    /// How the lease stands: token, last renewal, whether it is held, whether it is over, whether its holder's connection is there.
    LEASE_LOOK = include_str!("../../sql/queries/lease_look.sql");
    /// Take it, if it is as it was.
    LEASE_TAKE = include_str!("../../sql/queries/lease_take.sql");
    /// Renew it.
    LEASE_RENEW = include_str!("../../sql/queries/lease_renew.sql");
    /// Give it back.
    LEASE_GIVE_BACK = "-- lease::give_back()\n\
        UPDATE leases SET holder = NULL, expires_at = clock_timestamp() WHERE name = 'floor' AND holder = $1 AND token = $2";

    /// Hear of changes.
    LISTEN = "-- listen::session()\nLISTEN usher_changed";
    /// Hear of marks.
    LISTEN_FOR_MARKS = "-- listen::session()\nLISTEN usher_loaded";
}

/// The statements of an import. They need its temporary table, so they cannot be prepared without it.
pub mod import {
    /// A million lines may take longer than one answer usually may.
    pub const UNBOUNDED: &str = "-- cli::import::run()\nSET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";
    /// What the file holds, until the end of the transaction.
    pub const TABLE: &str = "-- cli::import::fill()\n\
        CREATE TEMPORARY TABLE customer_import (code text NOT NULL, name text NOT NULL) ON COMMIT DROP";
    /// Fills it.
    pub const COPY: &str = "-- cli::import::fill()\nCOPY customer_import (code, name) FROM STDIN";
    /// Lets the server plan for its size.
    pub const ANALYZE: &str = "-- cli::import::fill()\nANALYZE customer_import";
    /// Whether this transaction is the only import, from now to its end. What it locks is no table: others may go on.
    pub const TAKE_TURN: &str = "-- cli::import::store()\nSELECT pg_try_advisory_xact_lock($1)";
    /// Waits until it is. Two imports that rename the same customers in different orders would wait for each other.
    pub const WAIT_FOR_TURN: &str = "-- cli::import::store()\nSELECT pg_advisory_xact_lock($1)";
    /// How many are new now, and how many have another name.
    pub const COUNT: &str = "-- cli::import::foresee()\n\
        SELECT count(*) FILTER (WHERE c.code IS NULL), count(*) FILTER (WHERE c.name <> i.name) \
        FROM customer_import i LEFT JOIN customers c USING (code)";
    /// Gives those that are there their new names.
    pub const RENAME: &str = "-- cli::import::store()\n\
        UPDATE customers c SET name = i.name FROM customer_import i WHERE c.code = i.code AND c.name <> i.name";
    /// Adds those that are not; how many were added, and how many somebody else had just added and are renamed now. Not by
    /// ON CONFLICT alone, which would use up an id for each that is there. Only a row that was not there before has no `xmax`.
    pub const ADD: &str = "-- cli::import::store()\n\
        WITH stored AS (\
        INSERT INTO customers AS c (code, name) SELECT code, name FROM customer_import i \
        WHERE NOT EXISTS (SELECT FROM customers c WHERE c.code = i.code) ORDER BY code \
        ON CONFLICT (code) DO UPDATE SET name = excluded.name WHERE c.name <> excluded.name \
        RETURNING c.xmax = 0 AS added) \
        SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added) FROM stored";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_names_the_function_that_runs_it_in_its_first_line() {
        for (name, sql) in ALL {
            let first = sql.lines().next().unwrap();
            assert!(first.starts_with("-- ") && first.contains("()"), "{name}: {first}");
        }
    }
}
