//! A private XMPP server on loopback, and a relay in front of it that can be cut.
//!
//! Prosody, or ejabberd where the environment says `USHER_TEST_XMPP=ejabberd`.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use usher_rig::{ports::Claim, process::stopped};

use crate::ejabberd;

pub const DOMAIN: &str = "localhost";
pub const COMPONENT: &str = "contacts.localhost";
pub const COMPONENT_SECRET: &str = "what both know";
pub const USERS: [&str; 6] = ["usher", "user1", "user2", "user3", "crm", "stranger"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Brand {
    Prosody,
    Ejabberd,
}

impl Brand {
    pub fn wanted() -> Self {
        match std::env::var("USHER_TEST_XMPP").as_deref() {
            Ok("ejabberd") => Self::Ejabberd,
            _ => Self::Prosody,
        }
    }
}

pub struct Prosody {
    pub folder: TempDir,
    /// Nobody else's until this is dropped, also while the server is away: a port of the range for outgoing connections might be
    /// taken by one meanwhile, were it by one that looks for this server.
    port: Claim,
    component_port: Claim,
    brand: Brand,
    child: Option<Child>,
}

impl Prosody {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("usher-prosody-").tempdir().unwrap();
        let (port, component_port) = (Claim::single().unwrap(), Claim::single().unwrap());
        let mut this = Self { folder, port, component_port, brand: Brand::wanted(), child: None };
        this.write();
        this.run().await;
        this
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.port())
    }

    /// Where [`COMPONENT`] connects.
    pub fn component_address(&self) -> String {
        format!("127.0.0.1:{}", self.component_port.port())
    }

    fn write(&self) {
        let path = self.folder.path();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With one name for both, OpenSSL takes the server's for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, "Desk authority");
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.clone().self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![DOMAIN.into()]).unwrap();
        // Of another name than the authority, or OpenSSL takes it for its own issuer.
        params.distinguished_name.push(DnType::CommonName, DOMAIN);
        // ejabberd sets a timer for the end, and dies of one 2000 years away.
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(path.join("ca.pem"), ca.pem()).unwrap();
        fs::write(path.join("server.pem"), certificate.pem()).unwrap();
        fs::write(path.join("server.key"), key.serialize_pem()).unwrap();
        for user in USERS {
            self.set_password(user, user);
        }
        if self.brand == Brand::Ejabberd {
            ejabberd::write(path, self.port.port(), self.component_port.port());
        }
        let config = format!(
            r#"
            run_as_root = true
            daemonize = false
            pidfile = "{path}/prosody.pid"
            data_path = "{path}/data"
            modules_enabled = {{ "disco", "saslauth", "tls", "smacks", "ping", "presence", "message", "iq", "roster", "adhoc" }}
            -- Its store for those who are away heeds no hint (XEP-0334) and would hand out announcements of callers long gone.
            modules_disabled = {{ "s2s", "offline" }}
            authentication = "internal_plain"
            default_storage = "memory"
            storage = {{ accounts = "internal" }}
            c2s_interfaces = {{ "127.0.0.1" }}
            c2s_ports = {{ {port} }}
            c2s_require_encryption = true
            component_ports = {{ {component} }}
            smacks_hibernation_time = 60
            log = {{ debug = "{path}/server.log" }}
            VirtualHost "{DOMAIN}"
                ssl = {{ certificate = "{path}/server.pem", key = "{path}/server.key" }}
            Component "pubsub.{DOMAIN}" "pubsub"
                admins = {{ "usher@{DOMAIN}" }}
                pubsub_max_items = 100
            Component "{COMPONENT}"
                component_secret = "{COMPONENT_SECRET}"
                component_conflict_resolve = "kick_old"
            Component "conference.{DOMAIN}" "muc"
                muc_tombstones = false
            "#,
            path = path.display(),
            port = self.port.port(),
            component = self.component_port.port(),
        );
        fs::write(path.join("prosody.cfg.lua"), config).unwrap();
    }

    pub fn set_password(&self, user: &str, password: &str) {
        let accounts = self.accounts();
        fs::create_dir_all(&accounts).unwrap();
        fs::write(accounts.join(format!("{user}.dat")), format!("return {{ [\"password\"] = \"{password}\"; }};\n"))
            .unwrap();
    }

    fn accounts(&self) -> PathBuf {
        self.folder.path().join("data").join(DOMAIN).join("accounts")
    }

    fn password(&self, user: &str) -> String {
        let account = fs::read_to_string(self.accounts().join(format!("{user}.dat"))).unwrap();
        account.split('"').nth(3).unwrap().to_owned()
    }

    pub async fn run(&mut self) {
        let child = match self.brand {
            Brand::Prosody => self.spawn(),
            Brand::Ejabberd => ejabberd::spawn(self.folder.path(), |user| self.password(user)),
        };
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_ready().await {
            assert!(Instant::now() < deadline, "the server does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_ready(&self) -> bool {
        let has_accounts = self.brand == Brand::Prosody || self.folder.path().join("started").exists();
        has_accounts && TcpStream::connect(self.address()).await.is_ok()
    }

    fn spawn(&self) -> Child {
        Command::new("prosody")
            .arg("--config")
            .arg(self.folder.path().join("prosody.cfg.lua"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prosody starts")
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }

    pub fn freeze(&self) {
        self.signal("-STOP");
        stopped(self.child.as_ref().unwrap().id()).unwrap();
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits until the log has one of these texts: ejabberd writes it late.
    pub async fn logs(&self, texts: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !texts.iter().any(|text| self.log().contains(text)) {
            assert!(Instant::now() < deadline, "the log does not say {texts:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the server's log:\n{}", self.log());
        }
        self.kill();
    }
}

/// Passes connections on, until it is told to cut those that stand.
pub struct Relay {
    pub address: SocketAddr,
    cut: tokio::sync::watch::Sender<CancellationToken>,
    /// Whether new ones are passed on.
    pub open: Arc<AtomicBool>,
    /// When each connection was made, and whether it was passed on.
    pub tried: Arc<Mutex<Vec<(Instant, bool)>>>,
}

impl Relay {
    pub async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, current) = tokio::sync::watch::channel(CancellationToken::new());
        let tried: Arc<Mutex<Vec<(Instant, bool)>>> = Arc::default();
        let open = Arc::new(AtomicBool::new(true));
        let (log, door) = (tried.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let stop = current.borrow().clone();
                let (to, log, is_open) = (to.clone(), log.clone(), door.load(Ordering::Relaxed));
                tokio::spawn(async move {
                    let at = Instant::now();
                    let far = if is_open { TcpStream::connect(to).await.ok() } else { None };
                    log.lock().unwrap().push((at, far.is_some()));
                    let Some(mut far) = far else { return };
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { address, cut, open, tried }
    }

    pub fn cut(&self) {
        self.cut.send_replace(CancellationToken::new()).cancel();
    }
}
