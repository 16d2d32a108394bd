//! A program at a terminal of its own, as a person sits at it: what it draws is read from the screen, and keys are typed.
//!
//! The kernel ends the program's session (SIGHUP) when the other side of the terminal, which is ours, is closed.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{Read, Write},
    num::NonZero,
    os::unix::ffi::OsStringExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    instance::Instance,
    process::{Farewell, Process, Program},
    wait,
};

/// Wide enough that no line that a test looks for is broken in two.
const COLUMNS: NonZero<u16> = NonZero::new(200).expect("it is more");
const ROWS: NonZero<u16> = NonZero::new(60).expect("it is more");

/// Opens the terminal, which so becomes that of the session, and becomes the program. What belongs to the desktop of whoever runs this is left behind.
const AT_TERMINAL: &str = r#"
terminal=$1; shift
unset DISPLAY WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS GNUPGHOME
exec "$@" <"$terminal" >"$terminal" 2>"$terminal"
"#;

/// A running program and its screen.
pub struct Terminal {
    // First, so that it has ended before its terminal goes.
    process: Process,
    keys: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts a program. What it keeps of its own, by the usual variables, is in `home`: a folder of the instance's.
    ///
    /// # Errors
    /// When there is no terminal to be had, or the program cannot be started.
    pub fn start(instance: &Instance, name: &str, home: &Path, line: &[&str]) -> Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("no terminal")?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        tcsetwinsize(&terminal, Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 })?;
        let path = OsString::from_vec(ptsname(&terminal, Vec::new())?.into_bytes());
        let process = Program::new(instance, name, "sh")
            .args([OsStr::new("-c"), OsStr::new(AT_TERMINAL), OsStr::new(name), &path])
            .args(line)
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home)
            .env("XDG_DATA_HOME", home)
            .env("XDG_CACHE_HOME", home)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .farewell(Farewell::Kill)
            .start(instance)?;
        let keys = File::from(terminal);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let mut drawn = keys.try_clone()?;
        let shared = Arc::clone(&screen);
        // Ends with the program: then there is nothing to be read any more.
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = drawn.read(&mut buffer) {
                let drawn = buffer.get(..count).unwrap_or_default();
                shared.lock().unwrap_or_else(PoisonError::into_inner).process(drawn);
            }
        })?;
        Ok(Self { process, keys, screen })
    }

    /// The program.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What the screen shows, a line each, without blanks at their ends.
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// Types a line and enters it.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn enter(&self, line: &str) -> Result<()> {
        (&self.keys).write_all(format!("{line}\r").as_bytes()).with_context(|| format!("cannot type {line:?}"))
    }

    /// Waits until the screen shows what is wanted, and yields it.
    ///
    /// # Errors
    /// After `within`, or when the program ends, with what is shown.
    pub async fn shows(&self, what: &str, within: Duration, is: impl Fn(&str) -> bool) -> Result<String> {
        wait::until(&format!("the screen shows {what}"), within, || async {
            match self.screen() {
                screen if is(&screen) => Ok(screen),
                screen => bail!("{}{screen}", self.process.ended().map_or(String::new(), |how| format!("{how}: "))),
            }
        })
        .await
    }
}
