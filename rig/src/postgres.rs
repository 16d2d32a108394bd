//! A private PostgreSQL cluster, and databases in it made from a migrated template.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

use crate::{
    daemon::{Daemon, Endings},
    instance::{Instance, password, short_id},
    process::{Farewell, Program, is_root},
    wait,
};

/// Account that runs the server when we are root: PostgreSQL refuses root.
const ACCOUNT: &str = "postgres";
const START: Duration = Duration::from_secs(15);
/// In order, and fast: connections are told and closed. Sudden: as by a power cut; it recovers at the next start.
const ENDINGS: Endings = Endings { orderly: Signal::INT, sudden: Signal::QUIT, within: Duration::from_secs(10) };

/// A cluster, to be stopped, killed, frozen and started again as a [`Daemon`].
#[derive(Debug)]
pub struct Postgres {
    instance: Instance,
    daemon: Daemon,
    sockets: PathBuf,
    port: u16,
    password: String,
    template: OnceCell<()>,
    count: AtomicU32,
}

/// Where a database is; over TCP on loopback, with a password.
#[derive(Debug, Clone)]
pub struct Database {
    /// Always `127.0.0.1`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Role, the database's owner.
    pub user: String,
    /// The role's password.
    pub password: String,
}

impl Database {
    /// Opens a connection of one's own; its task ends with it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(&self) -> Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host(&self.host).port(self.port).dbname(&self.name).user(&self.user).password(&self.password);
        connect(&config).await
    }
}

impl Deref for Postgres {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Postgres {
    /// One cluster for the whole process, started by the first who asks; it ends with the process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_try_init(|| async { Self::start(&Instance::new()?).await }).await
    }

    /// Starts a cluster of one's own.
    ///
    /// # Errors
    /// When the binaries are missing or the server does not answer.
    pub async fn start(instance: &Instance) -> Result<Self> {
        let binaries = binaries()?;
        let data = instance.folder().join("postgres");
        copy_cluster(&cached_cluster(&binaries)?, &data)?;
        let sockets = instance.subfolder("pgsocket")?;
        give(&sockets, ACCOUNT)?;
        let port = instance.port()?;
        let program = Program::new(instance, "postgresql", binaries.join("postgres"))
            .args(["-D".as_ref(), data.as_os_str(), "-k".as_ref(), sockets.as_os_str()])
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "synchronous_commit=off", "-c", "max_connections=200", "-c", "timezone=UTC"])
            .args(["-c", "shared_buffers=32MB", "-c", "autovacuum=off", "-c", "dynamic_shared_memory_type=mmap"])
            .as_user(ACCOUNT)
            .farewell(Farewell::Quit);
        let pg = Self {
            instance: instance.clone(),
            daemon: Daemon::new(instance, program, ENDINGS),
            sockets,
            port,
            password: password(),
            template: OnceCell::new(),
            count: AtomicU32::new(0),
        };
        pg.start_again().await?;
        let admin = pg.admin("postgres").await?;
        admin.batch_execute(&format!("CREATE ROLE usher LOGIN PASSWORD '{}'", pg.password)).await?;
        Ok(pg)
    }

    /// A fresh database from the migrated template with the demo's rows; the first caller makes the template.
    ///
    /// `usher` is the program whose `migrate` makes the schema; `seed` the SQL file with the rows.
    ///
    /// # Errors
    /// When the migration or a statement fails.
    pub async fn database(&self, hint: &str, usher: &Path, seed: Option<&Path>) -> Result<Database> {
        self.template.get_or_try_init(|| self.make_template(usher, seed)).await?;
        self.create(hint, "usher_template").await
    }

    /// A fresh database with nothing in it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn empty_database(&self, hint: &str) -> Result<Database> {
        self.create(hint, "template0").await
    }

    async fn create(&self, hint: &str, template: &str) -> Result<Database> {
        let clean: String = hint.chars().filter(char::is_ascii_alphanumeric).take(30).collect();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", clean.to_lowercase());
        let sql = format!("CREATE DATABASE \"{name}\" TEMPLATE {template} OWNER usher");
        self.admin("postgres").await?.batch_execute(&sql).await.with_context(|| sql.clone())?;
        Ok(self.place(&name))
    }

    async fn make_template(&self, usher: &Path, seed: Option<&Path>) -> Result<()> {
        let database = self.create("making", "template0").await?;
        let folder = self.instance.subfolder("migrate")?;
        let config = folder.join("usher.toml");
        fs::write(folder.join("password"), format!("{}\n", database.password))?;
        fs::write(folder.join("none"), "none\n")?;
        fs::write(
            &config,
            format!(
                "[database]\nhost = \"{}\"\nport = {}\nname = \"{}\"\nuser = \"{}\"\npassword_file = \"password\"\n\
                 [xmpp]\njid = \"nobody@usher.test\"\npassword_file = \"none\"\n\
                 [[asterisk]]\nname = \"none\"\nurl = \"http://127.0.0.1:1\"\npassword_file = \"none\"\n",
                database.host, database.port, database.name, database.user
            ),
        )?;
        let program =
            Program::new(&self.instance, "usher-migrate", usher).args(["migrate", "--config"]).args([&config]);
        let process = program.start(&self.instance)?;
        let status = process.end(Duration::from_secs(30)).await?;
        if !status.success() {
            bail!("{} migrate failed ({status}):\n{}", usher.display(), process.log_tail());
        }
        if let Some(seed) = seed {
            let sql = fs::read_to_string(seed).with_context(|| format!("cannot read {}", seed.display()))?;
            database.connect().await?.batch_execute(&sql).await.with_context(|| seed.display().to_string())?;
        }
        let sql = format!("ALTER DATABASE \"{}\" RENAME TO usher_template", database.name);
        // The connections of the migration are closed, but the server may not have noticed yet.
        let admin = &self.admin("postgres").await?;
        wait::until("the template is at rest", Duration::from_secs(10), || async {
            admin.batch_execute(&sql).await.context("renaming it")
        })
        .await
    }

    fn place(&self, name: &str) -> Database {
        let (host, user) = ("127.0.0.1".to_owned(), "usher".to_owned());
        Database { host, port: self.port, name: name.to_owned(), user, password: self.password.clone() }
    }

    /// A connection as superuser, over the UNIX socket.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn admin(&self, database: &str) -> Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.sockets).port(self.port).dbname(database).user(ACCOUNT);
        connect(&config).await
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server after [`Daemon::stop`] or [`Daemon::kill`].
    ///
    /// # Errors
    /// When it does not answer `SELECT 1`.
    pub async fn start_again(&self) -> Result<()> {
        // After a kill the old server's last processes may hold the folder for a moment.
        self.spawn()?
            .ready("answers SELECT 1", START, || async {
                Ok(self.admin("postgres").await?.simple_query("SELECT 1").await.map(drop)?)
            })
            .await
    }
}

async fn connect(config: &tokio_postgres::Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // Its end shows in the client.
        let _ = connection.await;
    });
    Ok(client)
}

/// Folder of `initdb` and `postgres`: the newest of the distribution's, else the PATH's.
fn binaries() -> Result<PathBuf> {
    let packaged =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let on_path =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let mut found: Vec<_> = packaged.filter(|folder| folder.join("initdb").exists()).collect();
    found.sort_by_key(|folder| {
        folder.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u32>().ok())
    });
    found
        .pop()
        .or_else(|| on_path.into_iter().find(|folder| folder.join("initdb").exists()))
        .context("no initdb: install the package `postgresql`")
}

/// Our folder in the user's cache.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("USHER_CACHE") {
        return Ok(folder.into());
    }
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(folder).join("usher"));
    }
    let home = std::env::var_os("HOME").context("neither USHER_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/usher"))
}

/// A cluster fresh from initdb, kept in the cache because initdb takes most of a start's time.
fn cached_cluster(binaries: &Path) -> Result<PathBuf> {
    let version = run(std::process::Command::new(binaries.join("initdb")).arg("--version"))?;
    let number = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    let version = version.split_whitespace().find(number).context("initdb does not say its version")?;
    let cache = cache()?;
    fs::create_dir_all(&cache)?;
    // Reading it needs no lock; making it does.
    let ready = cache.join(format!("postgresql-{version}-1"));
    if ready.exists() {
        return Ok(ready);
    }
    let lock = fs::File::create(cache.join("postgresql.lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if ready.exists() {
        return Ok(ready);
    }
    // The cache may lie where the server's account cannot go: make it in the temporary folder, then move it in.
    let work = std::env::temp_dir().join(format!("usher-rig-initdb-{}", short_id()));
    fs::create_dir(&work)?;
    give(&work, ACCOUNT)?;
    let data = work.join("data");
    let mut command = std::process::Command::new(if is_root() { "setpriv" } else { "env" });
    if is_root() {
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]);
    }
    command.arg(binaries.join("initdb")).arg("-D").arg(&data).current_dir("/");
    command.args(["-U", ACCOUNT, "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]);
    command.args(["--no-sync", "--no-instructions", "--wal-segsize=1"]);
    let made = run(&mut command).and_then(|_| {
        let part = cache.join(format!("postgresql-part-{}", short_id()));
        copy_cluster(&data, &part)?;
        Ok(fs::rename(&part, &ready)?)
    });
    fs::remove_dir_all(&work)?;
    made.map(|()| ready)
}

fn copy_cluster(from: &Path, to: &Path) -> Result<()> {
    run(std::process::Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(from).arg(to)).map(drop)
}

/// Gives a folder to an account, when we are root.
pub(crate) fn give(path: &Path, account: &str) -> Result<()> {
    if is_root() {
        run(std::process::Command::new("chown").args(["-R", &format!("{account}:{account}"), "--"]).arg(path))?;
    }
    Ok(())
}

/// Runs a short program to its end and yields its output.
pub(crate) fn run(command: &mut std::process::Command) -> Result<String> {
    let output =
        command.stdin(std::process::Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
