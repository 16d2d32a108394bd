//! The management commands, run as an administrator runs them.

mod customers;
mod extensions;
mod members;
mod queues;

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use usher::config::Database;

use crate::fixture::shared;

/// A configuration file that leads to one database, and the program.
pub struct Admin {
    folder: TempDir,
    pub database: Database,
}

impl Admin {
    pub async fn new() -> Self {
        Self::of(shared().await.database().await)
    }

    pub fn of(database: Database) -> Self {
        let folder = TempDir::new().unwrap();
        let text = format!(
            // How long it takes on this machine is not what is tested.
            "[database]\nhost = \"{}\"\nname = \"{}\"\nuser = \"{}\"\ntimeout = \"30s\"\n[agi]\ndeadline = \"31s\"\n\
             [xmpp]\njid = \"usher@usher.test\"\n\
             [[asterisk]]\nname = \"pbx\"\nurl = \"http://127.0.0.1:8088\"\n",
            database.host, database.name, database.user
        );
        fs::write(folder.path().join("usher.toml"), text).unwrap();
        Self { folder, database }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        // A zone with a summer time, and another one than UTC.
        command
            .env_clear()
            .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
            .arg("--config")
            .arg(self.folder.path().join("usher.toml"))
            .args(arguments);
        command.current_dir(self.folder.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Begins and does not wait for the end.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What it printed on a terminal that was made ready by a command.
    pub fn on_a_terminal(&self, ready: &str, arguments: &[&str]) -> String {
        let program = self.command(arguments);
        let words = std::iter::once(program.get_program()).chain(program.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &format!("{ready} && {}", line.join(" ")), "/dev/null"]).stdin(Stdio::null());
        let output = terminal.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it printed; it must have succeeded.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complained of; it must have failed so.
    pub fn failed(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
        complaint
    }

    pub fn list(&self, what: &str) -> Vec<Value> {
        serde_json::from_str(&self.done(&[what, "list", "--json"])).unwrap()
    }

    pub fn file(&self, name: &str, text: &[u8]) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub fn customers(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.list("customer").iter().map(|customer| (text(&customer["code"]), text(&customer["name"]))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_what_it_applied_and_then_that_there_is_nothing_to_do() {
    let admin = Admin::of(shared().await.empty().await);
    assert!(admin.failed(1, &["queue", "list"]).contains("usher migrate"));
    let said = admin.done(&["migrate"]);
    let there = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations")).unwrap().count();
    assert!(said.starts_with("applied V1__initial\napplied V"), "{said}");
    assert_eq!(said.lines().count(), there, "{said}");
    assert_eq!(admin.done(&["migrate"]), "the schema is up to date\n");
    assert_eq!(admin.list("queue"), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_used_ends_with_status_2_and_a_database_that_cannot_with_1() {
    let admin = Admin::new().await;
    let gone = Admin::of(shared().await.settings("nowhere"));
    assert!(gone.failed(1, &["queue", "list"]).contains("create the database, or check database.name"));
    let complaint =
        gone.command(&["serve"]).env("USHER_XMPP_PASSWORD", "x").env("USHER_ASTERISK_PASSWORD", "x").output().unwrap();
    let complaint = String::from_utf8(complaint.stderr).unwrap();
    assert_eq!(complaint.matches("does not exist").count(), 1, "the cause is said once: {complaint}");
    assert!(complaint.contains("create the database, or check database.name"), "{complaint}");
    admin.file("usher.toml", b"[database]\nnme = 1\n");
    let complaint = admin.failed(2, &["queue", "list"]);
    assert!(complaint.contains("line 2") && complaint.contains("nme"), "{complaint}");
    fs::remove_file(admin.folder.path().join("usher.toml")).unwrap();
    let complaint = admin.failed(2, &["queue", "list"]);
    assert!(complaint.contains("--config") && complaint.matches("os error").count() == 1, "{complaint}");
    assert!(admin.failed(2, &["queue", "lst"]).contains("list"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_filter_that_is_none_ends_check_and_serve_with_status_2_and_names_file_and_key() {
    let admin = Admin::new().await;
    let text = fs::read_to_string(admin.folder.path().join("usher.toml")).unwrap();
    let text = text
        .replace("[xmpp]\n", "[xmpp]\npassword_file = \"p\"\n")
        .replace("[[asterisk]]\n", "[[asterisk]]\npassword_file = \"p\"\n");
    admin.file("p", b"secret\n");
    admin.file("usher.toml", format!("[service]\nlog = \"loud\"\n{text}").as_bytes());
    for command in ["check", "serve"] {
        let complaint = admin.failed(2, &[command]);
        assert!(complaint.contains("usher.toml: service.log: \"loud\" is not a filter"), "{complaint}");
    }
    // From the environment as well.
    admin.file("usher.toml", text.as_bytes());
    let output = admin.command(&["serve"]).env("USHER_LOG", "usher=loud").output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("USHER_LOG") && complaint.contains("usher=loud"), "{complaint}");
}
