//! A private Prosody on loopback, and a relay in front of it that can be cut.

use std::{
    fs,
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub const DOMAIN: &str = "localhost";

pub struct Prosody {
    pub folder: TempDir,
    pub port: u16,
    child: Option<Child>,
}

pub fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Prosody {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("usher-prosody-").tempdir().unwrap();
        let mut this = Self { folder, port: free_port(), child: None };
        this.write();
        this.run().await;
        this
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn write(&self) {
        let path = self.folder.path();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.clone().self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![DOMAIN.into()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(path.join("ca.pem"), ca.pem()).unwrap();
        fs::write(path.join("server.pem"), certificate.pem()).unwrap();
        fs::write(path.join("server.key"), key.serialize_pem()).unwrap();
        for user in ["usher", "user1", "user2", "user3", "crm", "stranger"] {
            self.set_password(user, user);
        }
        let config = format!(
            r#"
            run_as_root = true
            daemonize = false
            pidfile = "{path}/prosody.pid"
            data_path = "{path}/data"
            modules_enabled = {{ "disco", "saslauth", "tls", "smacks", "ping", "presence", "message", "iq" }}
            -- Its store for those who are away heeds no hint (XEP-0334) and would hand out announcements of callers long gone.
            modules_disabled = {{ "s2s", "offline" }}
            authentication = "internal_plain"
            default_storage = "memory"
            storage = {{ accounts = "internal" }}
            c2s_interfaces = {{ "127.0.0.1" }}
            c2s_ports = {{ {port} }}
            c2s_require_encryption = true
            smacks_hibernation_time = 60
            log = {{ debug = "{path}/prosody.log" }}
            VirtualHost "{DOMAIN}"
                ssl = {{ certificate = "{path}/server.pem", key = "{path}/server.key" }}
            Component "pubsub.{DOMAIN}" "pubsub"
                admins = {{ "usher@{DOMAIN}" }}
                pubsub_max_items = 100
            "#,
            path = path.display(),
            port = self.port,
        );
        fs::write(path.join("prosody.cfg.lua"), config).unwrap();
    }

    pub fn set_password(&self, user: &str, password: &str) {
        let accounts = self.folder.path().join("data").join(DOMAIN).join("accounts");
        fs::create_dir_all(&accounts).unwrap();
        fs::write(accounts.join(format!("{user}.dat")), format!("return {{ [\"password\"] = \"{password}\"; }};\n"))
            .unwrap();
    }

    pub async fn run(&mut self) {
        let child = Command::new("prosody")
            .arg("--config")
            .arg(self.folder.path().join("prosody.cfg.lua"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prosody starts");
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(15);
        while TcpStream::connect(self.address()).await.is_err() {
            assert!(Instant::now() < deadline, "prosody does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }

    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("prosody.log")).unwrap_or_default()
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
}

impl Relay {
    pub async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, current) = tokio::sync::watch::channel(CancellationToken::new());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let stop = current.borrow().clone();
                let to = to.clone();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { address, cut }
    }

    pub fn cut(&self) {
        self.cut.send_replace(CancellationToken::new()).cancel();
    }
}
