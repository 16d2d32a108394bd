//! Connections to PostgreSQL: one alone, or from a pool that never grows beyond its size.
//!
//! Every wait is bounded by `database.timeout`. A connection on which an answer is overdue is thrown away, so that a server
//! that was frozen or restarted is used again without a restart of the program.

use std::{
    fmt,
    fs::File,
    future::Future,
    io::BufReader,
    ops::{Deref, DerefMut},
    path::Path,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, Timeouts};
use futures_util::{Stream, StreamExt, stream};
use rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Socket, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::{self, shown},
    db::Error,
    domain::lease::Token,
};

/// What the server tells of its own accord, until the connection ends.
pub type Messages = Pin<Box<dyn Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Send>>;

/// Makes connections.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    tls: Tls,
    timeout: Duration,
    token: Option<Token>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("config", &self.config).finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Tls {
    Disable,
    Require(MakeRustlsConnect),
}

/// How long the server may work on one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statements {
    /// As long as `database.timeout` says.
    Bounded,
    /// As long as it takes: migrations, imports.
    Unbounded,
}

/// A connection of its own, closed when dropped.
#[derive(Debug)]
pub struct Single {
    /// The connection.
    pub client: Client,
    _driver: AbortOnDropHandle<()>,
}

impl Connector {
    /// Takes over the settings.
    ///
    /// # Errors
    /// [`Error::Tls`] when the authorities cannot be read.
    pub fn new(database: &config::Database) -> Result<Self, Error> {
        let mut config = Config::new();
        config
            .host(&database.host)
            .port(database.port)
            .dbname(&database.name)
            .user(&database.user)
            .application_name("usher")
            .connect_timeout(database.timeout)
            .keepalives_idle(Duration::from_secs(10))
            .tcp_user_timeout(database.timeout.max(Duration::from_secs(5)));
        if let Some(password) = &database.password {
            config.password(password.expose_secret());
        }
        let tls = match database.tls {
            config::DatabaseTls::Disable => {
                config.ssl_mode(tokio_postgres::config::SslMode::Disable);
                Tls::Disable
            }
            config::DatabaseTls::Require => {
                config.ssl_mode(tokio_postgres::config::SslMode::Require);
                Tls::Require(MakeRustlsConnect::new(tls_config(database.ca_file.as_deref())?))
            }
        };
        Ok(Self { config, tls, timeout: database.timeout, token: None })
    }

    /// What is written over its connections is refused once the lease has another token.
    #[must_use]
    pub fn fenced(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The longest wait for one answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A connection together with what the server says unasked; nothing moves unless `Messages` is polled.
    ///
    /// # Errors
    /// When there is no connection within the timeout.
    pub async fn open(&self, statements: Statements) -> Result<(Client, Messages), Error> {
        let mut config = self.config.clone();
        limit(&mut config, statements, self.timeout, self.token);
        match &self.tls {
            Tls::Disable => open(&config, NoTls, self.timeout).await,
            Tls::Require(tls) => open(&config, tls.clone(), self.timeout).await,
        }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// As [`Connector::open`].
    pub async fn single(&self, statements: Statements) -> Result<Single, Error> {
        let (client, mut messages) = self.open(statements).await?;
        let driver = tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} });
        Ok(Single { client, _driver: AbortOnDropHandle::new(driver) })
    }
}

async fn open<T>(config: &Config, tls: T, within: Duration) -> Result<(Client, Messages), Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    // connect_timeout of the library covers the TCP handshake alone.
    let (client, mut connection) = timeout(within, config.connect(tls)).await.map_err(|_| Error::Timeout(within))??;
    Ok((client, Box::pin(stream::poll_fn(move |cx| connection.poll_message(cx)))))
}

/// Makes the server itself give up on a statement shortly after the program did, and never on one that may take its time; and
/// on a transaction whose program says nothing more: one that was stopped in its middle would hold its rows for ever. Nothing is compiled
/// before it runs (JIT): with a million calls that took a second for what takes 40 ms.
fn limit(config: &mut Config, statements: Statements, timeout: Duration, token: Option<Token>) {
    let milliseconds = match statements {
        Statements::Bounded => timeout.as_millis(),
        Statements::Unbounded => 0,
    };
    let mut options = format!(
        "-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} \
         -c idle_in_transaction_session_timeout={milliseconds} -c jit=off"
    );
    if let Some(Token(token)) = token {
        options += &format!(" -c usher.token={token}");
    }
    config.options(options);
}

fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let wrong = |problem: String| Error::Tls(format!("database.ca_file: {}: {problem}", shown(path)));
        let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
        for certificate in rustls::pki_types::CertificateDer::pem_reader_iter(BufReader::new(file)) {
            let certificate = certificate.map_err(|e| wrong(format!("not PEM: {e}")))?;
            roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("no certificate in it: expected the authority's, in PEM".into()));
        }
    } else {
        // Single unreadable certificates of the system are not our trouble, a store with none is.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::Tls(
                "the system trusts no authority: install ca-certificates or set database.ca_file".into(),
            ));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Connections at most `database.pool_size`, made when first needed.
#[derive(Debug, Clone)]
pub struct Pool {
    pool: deadpool_postgres::Pool,
    timeout: Duration,
}

impl Pool {
    /// An empty pool; connects when asked.
    ///
    /// # Errors
    /// [`Error::Connection`] when the pool cannot be made.
    pub fn new(connector: &Connector, size: usize) -> Result<Self, Error> {
        let mut config = connector.config.clone();
        limit(&mut config, Statements::Bounded, connector.timeout, connector.token);
        // Verified: a round trip before each use, so that a connection that a restart has cut is never handed out.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = match &connector.tls {
            Tls::Disable => Manager::from_config(config, NoTls, recycling),
            Tls::Require(tls) => Manager::from_config(config, tls.clone(), recycling),
        };
        let wait = Some(connector.timeout);
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .timeouts(Timeouts { wait, create: wait, recycle: wait })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| Error::Connection(e.to_string()))?;
        Ok(Self { pool, timeout: connector.timeout })
    }

    /// Lets `work`, which takes a [`Lease`] and asks, take at most the timeout as a whole.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it took longer, else what the work said.
    pub async fn bounded<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.timeout, work).await.map_err(|_| Error::Timeout(self.timeout))?
    }

    /// A connection for one piece of work.
    ///
    /// # Errors
    /// When none is free, or none can be made, within the timeout.
    pub async fn lease(&self) -> Result<Lease, Error> {
        let object = self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(_) => Error::Timeout(self.timeout),
            PoolError::Backend(error) => Error::Postgres(error),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Connection(error.to_string())
            }
        })?;
        Ok(Lease(Some(object)))
    }

    /// Connections that exist now.
    pub fn connections(&self) -> usize {
        self.pool.status().size
    }
}

/// A connection on loan. Given back by [`Lease::done`]; dropped without it (the work failed or was overdue), it is closed, so
/// that nobody inherits an unfinished answer or transaction.
#[derive(Debug)]
pub struct Lease(Option<Object>);

impl Lease {
    /// Gives the connection back for the next piece of work.
    pub fn done(mut self) {
        self.0.take();
    }
}

impl Deref for Lease {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.0.as_ref().expect("taken only by done and drop")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Object {
        self.0.as_mut().expect("taken only by done and drop")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
