//! The whole house on real servers: SIP calls, DTMF, XMPP, PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod aid;
mod alone;
mod ari_contract;
mod cable;
mod callback;
mod caller;
mod check;
mod commands;
mod compare;
mod consult;
mod counter;
mod doubt;
mod ends;
mod fallback;
mod faults;
mod fence;
mod first_call;
mod floor;
mod forward;
mod gaps;
mod half;
mod handed;
mod handover;
mod kills;
mod links;
mod load;
mod member;
mod outages;
mod outbox;
mod over;
mod overflow;
mod pages;
mod policies;
mod pops;
mod rehearsal;
mod reload;
mod silence;
mod standby;
mod start;
mod steps;
mod storm;
mod talk;
mod transfer;
mod waiting;
