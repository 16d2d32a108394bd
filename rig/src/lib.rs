//! Starts the real servers, private and on loopback, for the demo, the tests and the benchmarks.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use usher_rig::{phones::{Behaviour, CallSpec}, rig::Rig};
//! let rig = Rig::builder().members(5).usher("target/debug/usher").start().await?;
//! rig.phones.phone("1000")?.behave(Behaviour::AnswerAfter(std::time::Duration::from_secs(1)));
//! let caller = rig.phones.call(&CallSpec::new("5551001", "0000")).await?;
//! # Ok(()) }
//! ```
//!
//! From the bottom up: what keeps the promise that nothing outlives a rig, the servers one by one, what listens and
//! breaks, and all together.

pub mod daemon;
pub mod instance;
pub mod ports;
pub mod process;
pub mod wait;

pub mod asterisk;
pub mod certificate;
pub mod crm;
mod documentation;
pub mod pbx;
pub mod phones;
pub mod postgres;
pub mod prosody;
pub mod usher;

pub mod ari;
pub mod browser;
pub mod pops;
pub mod profanity;
pub mod proxy;
pub mod sound;
pub mod terminal;
pub mod xmpp;

pub mod rig;
