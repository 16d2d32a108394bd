//! What a newcomer is told to type, and what `scripts/setup` installs, on a machine that has nothing: its tools are stand-ins that write down how they were called.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// Needed by the script itself, and harmless.
const TOOLS: [&str; 9] = ["sh", "sed", "cat", "tee", "rm", "mkdir", "flock", "head", "env"];

struct Machine(TempDir);

impl Machine {
    /// Nobody's account, no package, no compiler; Asterisk is unpacked already, and there is Rust.
    fn new() -> Self {
        let machine = Self(TempDir::new().unwrap());
        fs::create_dir(machine.bin()).unwrap();
        for tool in TOOLS {
            let real = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            symlink(real.iter().find(|path| path.exists()).unwrap(), machine.bin().join(tool)).unwrap();
        }
        machine.tool("id", "echo 1000");
        machine.tool("cargo", "exit 0");
        machine.tool("dpkg-query", "exit 1");
        machine.tool("apt-get", "exit 0");
        // In the place of root: writes down what was to be done, and does what a package of a compiler would.
        let record = format!("echo \"$*\" >>{log}", log = machine.log().display());
        let compiler = format!("case \"$*\" in *gcc*) cp -P {0}/id {0}/cc ;; esac", machine.bin().display());
        machine.tool("sudo", &format!("{record}; PATH=/usr/bin:/bin; {compiler}; cat >/dev/null </dev/null"));
        let asterisk = machine.0.path().join("cache/asterisk/usr/sbin");
        fs::create_dir_all(&asterisk).unwrap();
        script(&asterisk.join("asterisk"), "exit 0");
        machine
    }

    fn bin(&self) -> PathBuf {
        self.0.path().join("bin")
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    fn tool(&self, name: &str, does: &str) {
        script(&self.bin().join(name), does);
    }

    fn set_up(&self, arguments: &[&str]) -> Output {
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/setup"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.bin())
            .env("USHER_CACHE", self.0.path().join("cache"))
            .output()
            .unwrap()
    }

    /// The packages that it had installed.
    fn installed(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.set_up(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let log = fs::read_to_string(self.log()).unwrap();
        let line = log.lines().find_map(|line| line.rsplit_once("; } sh ")).unwrap().1;
        line.split(' ').map(str::to_owned).collect()
    }
}

fn script(path: &Path, does: &str) {
    fs::write(path, format!("#!/bin/sh\n{does}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

const DEMO: [&str; 3] = ["ca-certificates", "postgresql", "prosody"];
const TESTS: [&str; 6] = ["ejabberd", "python3-slixmpp", "profanity", "chromium", "chromium-driver", "libjs-strophe"];
const COMPILER: [&str; 2] = ["gcc", "libc6-dev"];

#[test]
fn the_demo_installs_what_it_runs_and_the_tests_install_theirs_besides() {
    assert_eq!(Machine::new().installed(&[]), [&DEMO[..], &COMPILER].concat());
    assert_eq!(Machine::new().installed(&["--tests"]), [&DEMO[..], &TESTS, &COMPILER].concat());
}

#[test]
fn a_compiler_that_is_there_is_not_installed_again() {
    let machine = Machine::new();
    machine.tool("cc", "exit 0");
    assert_eq!(machine.installed(&[]), DEMO);
}

#[test]
fn a_compiler_that_cannot_be_installed_is_named() {
    let machine = Machine::new();
    fs::remove_file(machine.bin().join("apt-get")).unwrap();
    let output = machine.set_up(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("gcc libc6-dev"), "{said}");
}

#[test]
fn each_way_to_the_tests_installs_what_they_need_and_the_readme_names_it() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    assert!(read(".ci/run").contains("scripts/setup --tests"));
    let makefile = read("Makefile");
    assert!(makefile.contains("\nsetup:\n\t@scripts/setup --tests\n") && makefile.contains("\ntest: setup\n"));
    assert!(makefile.contains("\nsetup-demo:\n\t@scripts/setup\n") && makefile.contains("\nbuild: setup-demo\n"));
    let readme = read("README.md").to_lowercase();
    for package in
        ["postgresql", "prosody", "gcc", "libc6-dev", "ejabberd", "slixmpp", "profanity", "chromium", "strophe"]
    {
        assert!(readme.contains(package), "{package}");
    }
}

#[test]
fn the_commands_that_the_database_refuses_to_root_are_not_run_by_it_in_the_documents() {
    for name in ["README.md", "INSTALL.md", "docs/desk.md", "docs/screen-pop.md", "docs/webhooks.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let shell = text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
        for line in shell.flat_map(str::lines) {
            let is_bare = line.trim_start().starts_with("usher ") && !line.contains("--version");
            assert!(!is_bare, "{name}: {line}: as_usher, or runuser, is missing");
        }
    }
}
