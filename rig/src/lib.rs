//! Starts the real servers, private and on loopback, for the demo, the tests and the benchmarks.

pub mod ari;
pub mod asterisk;
pub mod certificate;
pub mod instance;
pub mod pbx;
pub mod phones;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod prosody;
pub mod sound;
pub mod wait;
