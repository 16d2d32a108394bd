//! The whole house on real servers: SIP calls, DTMF, XMPP, PostgreSQL.

mod aid;
mod ari_contract;
mod caller;
mod commands;
mod faults;
mod first_call;
mod floor;
mod links;
mod load;
mod member;
mod pops;
mod steps;
