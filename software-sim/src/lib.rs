//! The other software.
