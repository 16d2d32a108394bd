//! The program `usher`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything makes a TLS connection: one provider for the whole program.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    usher::cli::main()
}
