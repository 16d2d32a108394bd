//! The other software: subscribes to an extension's node and pops the screen.
//!
//! A stand-in for a CRM. It knows nothing of the service but the published contract (docs/screen-pop.md), and so proves
//! that an outsider can live by it.
//!
//! * [`pop`]: the payload, read tolerantly.
//! * [`seen`]: what is new and what was shown already.
//! * [`login`], [`client`]: the XMPP side.
//! * [`json`], [`screen`]: the output.
//! * [`bridge`]: the pops as HTTP requests, for software that speaks no XMPP.

pub mod bridge;
pub mod client;
pub mod json;
pub mod login;
pub mod pop;
pub mod screen;
pub mod secret;
pub mod seen;
