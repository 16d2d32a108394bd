//! Usher: the customer's file is open before the phone rings.
//!
//! Middleware between Asterisk and XMPP. In reading order:
//!
//! * [`domain`]: the rules, pure.
//! * [`config`]: the configuration file.

pub mod ari;
pub mod config;
pub mod domain;
pub mod link;
