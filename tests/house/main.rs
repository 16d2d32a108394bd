//! The whole house on real servers: SIP calls, DTMF, XMPP, PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod first_call;
