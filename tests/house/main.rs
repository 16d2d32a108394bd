//! The whole house on real servers: SIP calls, DTMF, XMPP, PostgreSQL.

mod ari_contract;
mod caller;
mod first_call;
mod steps;
