//! The desk against a real Prosody, and the same against a real ejabberd.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod announcements;
mod console;
mod contacts;
mod counter;
mod ejabberd;
mod fixture;
mod forms;
mod login;
mod nodes;
mod outage;
mod patience;
mod pops;
mod presence;
mod prosody;
mod rooms;

use prosody::Brand;

/// Runs this program's tests again, with the other server in Prosody's place.
#[test]
fn everything_holds_on_ejabberd_too() {
    if Brand::wanted() == Brand::Ejabberd {
        return;
    }
    if !ejabberd::is_installed() {
        tracing::warn!("not tested: ejabberd is not installed here");
        return;
    }
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads=4"])
        .env("USHER_TEST_XMPP", "ejabberd")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("test result: ok") && !text.contains(" 0 passed"), "{text}");
}
