//! Usher: the customer's file is open before the phone rings.
//!
//! Middleware between Asterisk and XMPP. In reading order:
//!
//! * [`domain`]: the rules, pure.
//! * [`config`]: the configuration file; [`link`]: whether a connection stands; [`fence`]: whether this process may act.
//! * Shells, one foreign protocol each: [`ari`], [`agi`], [`xmpp`], [`db`].
//! * Services, one piece of state each: [`floor`], [`desk`], [`ledger`], [`mirror`], [`ivr`], [`counter`], [`contacts`], [`duty`], [`standby`].
//! * [`app`] wires them, [`health`] and [`telemetry`] show how they are; [`cli`] is what people type.

pub mod agi;
pub mod app;
pub mod ari;
pub mod cli;
pub mod config;
pub mod contacts;
pub mod counter;
pub mod db;
pub mod desk;
pub mod domain;
pub mod duty;
pub mod fence;
pub mod floor;
pub mod health;
pub mod ivr;
pub mod ledger;
pub mod link;
pub mod mirror;
pub mod presence;
pub mod rooms;
pub mod standby;
pub mod telemetry;
pub mod worker;
pub mod xmpp;
