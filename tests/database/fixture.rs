//! A private PostgreSQL: a cluster in a folder of its own, reached by UNIX socket alone, gone with the process that started it
//! (also after a panic or a kill). Each test gets a database of its own, made from a migrated template.

use std::{
    fs,
    future::Future,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use usher::{
    config::{Database, DatabaseTls},
    db::{
        migrate,
        pool::{Connector, Single, Statements},
    },
};
use usher_rig::{ports::Claim, process::stopped};

const TEMPLATE: &str = "template_usher";
/// Longer than anything here takes on a busy machine; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Postgres {
    folder: PathBuf,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    /// Port for TLS on loopback, if any.
    tcp: Mutex<Option<Claim>>,
    /// Ends server and folder when its standard input closes, which happens however this process ends.
    keeper: Child,
}

/// The cluster that tests share which do not disturb the server.
pub async fn shared() -> &'static Postgres {
    static SHARED: OnceCell<Postgres> = OnceCell::const_new();
    SHARED.get_or_init(Postgres::start).await
}

impl Postgres {
    pub async fn start() -> Self {
        let folder = TempDir::with_prefix("usher-pg-").unwrap().keep();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let data = folder.join("data");
        let script = format!(
            "read _; for p in $(head -1 {0}/data/postmaster.pid 2>/dev/null); do kill -CONT $p $(cat /proc/$p/task/$p/children); \
             kill -QUIT $p; n=0; while kill -0 $p 2>/dev/null && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.05; done; done; rm -rf {0}",
            folder.display()
        );
        let keeper = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this =
            Self { folder, server: Mutex::new(None), databases: AtomicU32::new(0), tcp: Mutex::new(None), keeper };
        let mut initdb = unprivileged("initdb");
        initdb
            .args(["--no-sync", "--auth=trust", "--username=usher", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data);
        run(initdb.stdout(Stdio::null()));
        let rules = "local all guarded scram-sha-256\nlocal all housed peer\nlocal all all trust\n";
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        this.up();

        let single = this.connect("postgres").await;
        single.client.batch_execute(&format!("CREATE DATABASE {TEMPLATE}")).await.unwrap();
        let mut template = this.connect(TEMPLATE).await;
        migrate::run(&mut template.client).await.unwrap();
        template.client.batch_execute(include_str!("../../sql/seed/demo.sql")).await.unwrap();
        this
    }

    /// Starts the server and waits until it answers.
    pub fn up(&self) {
        let mut server = unprivileged("postgres");
        server.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]);
        let tcp = self.tcp.lock().unwrap().as_ref().map(Claim::port);
        if let Some(port) = tcp {
            server.args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-c", &format!("port={port}")]);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        *self.server.lock().unwrap() = Some(child);
        let end = Instant::now() + DEADLINE;
        let port = tcp.unwrap_or(5432).to_string();
        while !Command::new(binary("pg_isready"))
            .args(["-q", "-p", &port])
            .arg("-h")
            .arg(&self.folder)
            .status()
            .unwrap()
            .success()
        {
            assert!(Instant::now() < end, "{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the server anew, reached by TLS on loopback as well, with this certificate and key in PEM. Returns the port.
    pub fn restart_with_tls(&self, certificate: &str, key: &str) -> u16 {
        self.down();
        let data = self.folder.join("data");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            fs::write(data.join(name), text).unwrap();
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                run(Command::new("chown").arg("postgres").arg(data.join(name)));
            }
        }
        fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n").unwrap();
        let claim = Claim::single().unwrap();
        let port = claim.port();
        *self.tcp.lock().unwrap() = Some(claim);
        self.up();
        port
    }

    /// Ends the server at once, as a crash would.
    pub fn down(&self) {
        if let Some(mut child) = self.server.lock().unwrap().take() {
            signal("QUIT", &[child.id()]);
            child.wait().unwrap();
        }
    }

    /// Stops every process of the server where it stands. The first one before the others: it starts none then, and one that ends is
    /// not waited for, so that every number that was read stays a process of the server.
    pub fn freeze(&self) {
        let first = self.first();
        signal("STOP", &[first]);
        stopped(first).unwrap();
        let others = children(first);
        signal("STOP", &others);
        others.into_iter().for_each(|pid| stopped(pid).unwrap());
    }

    /// Lets them go on, the first one last, for the same reason.
    pub fn thaw(&self) {
        let first = self.first();
        signal("CONT", &children(first));
        signal("CONT", &[first]);
    }

    fn first(&self) -> u32 {
        self.server.lock().unwrap().as_ref().unwrap().id()
    }

    /// Settings that lead to a database of this name.
    pub fn settings(&self, name: &str) -> Database {
        Database {
            host: self.folder.display().to_string(),
            port: 5432,
            name: name.into(),
            user: "usher".into(),
            password_file: None,
            tls: DatabaseTls::Disable,
            ca_file: None,
            pool_size: 4,
            timeout: Duration::from_secs(2),
            outbox: 10_000,
            password: None,
        }
    }

    /// A new database with schema and demo data.
    pub async fn database(&self) -> Database {
        self.create(&format!("TEMPLATE {TEMPLATE}")).await
    }

    /// A new database without anything.
    pub async fn empty(&self) -> Database {
        self.create("").await
    }

    async fn create(&self, how: &str) -> Database {
        // One at a time: a template must have no other user, and CREATE DATABASE is one for a moment.
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _turn = TURN.lock().await;
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let single = self.connect("postgres").await;
        single.client.batch_execute(&format!("CREATE DATABASE {name} {how}")).await.unwrap();
        self.settings(&name)
    }

    pub async fn connect(&self, name: &str) -> Single {
        connect(&self.settings(name)).await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The server first: until it is reaped, its keeper would see it alive.
        if let Some(mut child) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = child.wait();
        }
        let _ = self.keeper.wait();
    }
}

/// A connection of the test's own.
pub async fn connect(database: &Database) -> Single {
    Connector::new(database).unwrap().single(Statements::Unbounded).await.unwrap()
}

/// Asks again and again until the answer is yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let end = Instant::now() + DEADLINE;
    while !ask().await {
        assert!(Instant::now() < end, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for something that must come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

fn binary(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(name).into())
}

/// As user postgres when root: the server refuses to run as root.
fn unprivileged(name: &str) -> Command {
    if !is_root() {
        return Command::new(binary(name));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(binary(name)).current_dir("/");
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn signal(name: &str, pids: &[u32]) {
    run(Command::new("kill").arg("-s").arg(name).args(pids.iter().map(ToString::to_string)));
}
