//! The whole house on real servers: SIP calls, DTMF, XMPP, PostgreSQL.

mod first_call;
