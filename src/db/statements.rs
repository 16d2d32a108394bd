//! Every SQL statement of the program, in one place: short ones here, long ones in `sql/queries`.
//!
//! The first line of each names the function that runs it, which the server's log and `pg_stat_activity` then show.
//! A test migrates a fresh database and has it prepare them all.

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

    /// All agents, in the order of [`crate::domain::queue::roster::Roster`].
    ROSTER_AGENTS = "-- roster::load()\nSELECT number, name, jid, interface FROM extensions ORDER BY number COLLATE \"C\"";
    /// All queues, likewise.
    ROSTER_QUEUES = "-- roster::load()\n\
        SELECT name, label, announcement, greeting, moh_class, ring_time_seconds, queue_timeout_seconds \
        FROM queues ORDER BY name COLLATE \"C\"";
    /// All memberships, likewise.
    ROSTER_MEMBERSHIPS = "-- roster::load()\n\
        SELECT queue, extension, logged_on, last_call_at FROM memberships \
        ORDER BY queue COLLATE \"C\", extension COLLATE \"C\"";

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
    /// Ends of members' last calls.
    RECORD_LAST_CALLS = include_str!("../../sql/queries/record_last_calls.sql");
    /// Steps of calls.
    RECORD_EVENTS = include_str!("../../sql/queries/record_events.sql");

    /// Hear of changes.
    LISTEN = "-- listen::session()\nLISTEN usher_changed";
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
