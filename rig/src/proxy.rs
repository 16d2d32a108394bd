//! A TCP proxy that breaks: it cuts, closes, swallows and delays what passes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};

use crate::instance::Instance;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// A proxy before one server.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: Runs,
}

/// Where it runs.
#[derive(Debug)]
enum Runs {
    /// Beside what started it.
    Here(JoinHandle<()>),
    /// On a thread of its own, until this is dropped.
    Apart(#[expect(dead_code, reason = "its drop is what counts")] oneshot::Sender<()>),
}

#[derive(Debug)]
struct Shared {
    /// Grows at each cut; a connection ends when it does.
    cuts: watch::Sender<(u64, Cut)>,
    mode: watch::Sender<Mode>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: usize,
    ever: usize,
    tap: Option<Vec<Tapped>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    blackhole: Hole,
    refusing: Door,
    delay: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Hole {
    #[default]
    None,
    Swallowing,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Door {
    #[default]
    Open,
    Shut,
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    Reset,
    Close,
}

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Bytes that passed.
#[derive(Debug, Clone)]
pub struct Tapped {
    /// When.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// What.
    pub bytes: Vec<u8>,
}

impl Proxy {
    /// Starts one before `server` (`HOST:PORT`).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(instance: &Instance, server: &str) -> Result<Self> {
        let port = instance.port()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let shared = Arc::new(Shared::new());
        let task = Runs::Here(tokio::spawn(accept(listener, server.to_owned(), Arc::clone(&shared))));
        Ok(Self { port, shared, task })
    }

    /// The same on a thread of its own, so that what passes does not wait for others of this process: for measurements.
    ///
    /// # Errors
    /// When no port is free, or no thread.
    pub fn start_apart(instance: &Instance, server: &str) -> Result<Self> {
        let port = instance.port()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (alive, dropped) = oneshot::channel();
        let (server, sharing) = (server.to_owned(), Arc::clone(&shared));
        std::thread::Builder::new().name("proxy".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener, server, sharing) => {}
                    _ = dropped => {}
                }
            });
        })?;
        Ok(Self { port, shared, task: Runs::Apart(alive) })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Resets every connection (RST).
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cut| *cut = (cut.0 + 1, Cut::Reset));
    }

    /// Closes every connection in order (FIN).
    pub fn close_cleanly(&self) {
        self.shared.cuts.send_modify(|cut| *cut = (cut.0 + 1, Cut::Close));
    }

    /// From now on everything is swallowed; connections stay open, new ones are taken and hear nothing.
    pub fn blackhole(&self) {
        self.shared.mode.send_modify(|mode| mode.blackhole = Hole::Swallowing);
    }

    /// New connections are closed at once, as if nobody listened.
    pub fn refuse(&self) {
        self.shared.mode.send_modify(|mode| mode.refusing = Door::Shut);
    }

    /// Everything passes again; what was swallowed stays lost.
    pub fn heal(&self) {
        self.shared.mode.send_modify(|mode| *mode = Mode::default());
    }

    /// Everything passes so much later.
    pub fn delay(&self, delay: Duration) {
        self.shared.mode.send_modify(|mode| mode.delay = delay);
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.shared.state().now
    }

    /// Connections ever taken.
    pub fn connections_ever(&self) -> usize {
        self.shared.state().ever
    }

    /// Begins to keep what passes, from nothing.
    pub fn tap(&self) {
        self.shared.state().tap = Some(Vec::new());
    }

    /// What has passed since [`Proxy::tap`].
    pub fn tapped(&self) -> Vec<Tapped> {
        self.shared.state().tap.clone().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        match &self.task {
            Runs::Here(task) => task.abort(),
            Runs::Apart(_) => {}
        }
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            cuts: watch::channel((0, Cut::Close)).0,
            mode: watch::channel(Mode::default()).0,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, server: String, shared: Arc<Shared>) {
    // Dropped with this task, so that no connection outlives the proxy.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                if shared.mode.borrow().refusing == Door::Shut {
                    let _ = client.set_zero_linger();
                    continue;
                }
                connections.spawn(carry(client, server.clone(), Arc::clone(&shared)));
            }
        }
    }
}

async fn carry(client: TcpStream, server: String, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    {
        let mut state = shared.state();
        state.now += 1;
        state.ever += 1;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let cut = tokio::select! {
        () = pump(&mut from_client, &mut to_server, Direction::ToServer, &shared) => None,
        () = pump(&mut from_server, &mut to_client, Direction::ToClient, &shared) => None,
        changed = cuts.changed() => changed.ok().map(|()| cuts.borrow().1),
    };
    if matches!(cut, Some(Cut::Reset)) {
        for half in [from_client.reunite(to_client).ok(), from_server.reunite(to_server).ok()].into_iter().flatten() {
            let _ = half.set_zero_linger();
        }
    }
    shared.state().now -= 1;
}

async fn pump(from: &mut tcp::OwnedReadHalf, to: &mut tcp::OwnedWriteHalf, direction: Direction, shared: &Shared) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return };
        let mode = *shared.mode.borrow();
        if mode.blackhole == Hole::Swallowing {
            continue;
        }
        if !mode.delay.is_zero() {
            tokio::time::sleep(mode.delay).await;
        }
        if let Some(tap) = &mut shared.state().tap {
            tap.push(Tapped { at: Instant::now(), direction, bytes: bytes.to_vec() });
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
