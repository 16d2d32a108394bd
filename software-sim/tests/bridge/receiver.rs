//! A web server that behaves as it is told: a real one on a real socket.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Answers with this status.
    Status(u16),
    /// Answers 307, and leads here.
    Redirect(u16),
    /// Reads it and says nothing more.
    Hang,
    /// Reads it and closes the connection in the middle of the first line of the answer.
    CloseInTheMiddle,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Request {
    /// The id that tries share.
    pub fn id(&self) -> String {
        self.headers["x-usher-event"].clone()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut fields = form_urlencoded::parse(self.body.as_bytes()).into_owned();
        fields.find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

type Script = dyn Fn(&Request, usize) -> Manner + Send + Sync;

/// A running one.
pub struct Receiver {
    pub port: u16,
    requests: watch::Sender<Vec<Request>>,
    connections: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts one; the script is told how many requests with this id came before.
    pub async fn start(script: impl Fn(&Request, usize) -> Manner + Send + Sync + 'static) -> Self {
        Self::listen(None, 0, script).await
    }

    /// The same over TLS.
    pub async fn start_tls(tls: TlsAcceptor) -> Self {
        Self::listen(Some(tls), 0, |_, _| Manner::Status(204)).await
    }

    /// The same on a port that was its own before.
    pub async fn start_at(port: u16) -> Self {
        Self::listen(None, port, |_, _| Manner::Status(204)).await
    }

    async fn listen(
        tls: Option<TlsAcceptor>,
        port: u16,
        script: impl Fn(&Request, usize) -> Manner + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, _) = watch::channel(Vec::new());
        let (connections, _) = watch::channel(0);
        let (seen, counted) = (requests.clone(), connections.clone());
        let script: Arc<Script> = Arc::new(script);
        let counts: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let task = tokio::spawn(async move {
            // Dropped with this task: its connections end with the server.
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.send_modify(|count| *count += 1);
                let (script, seen, counts, tls) = (Arc::clone(&script), seen.clone(), Arc::clone(&counts), tls.clone());
                served.spawn(async move {
                    match tls {
                        None => serve::<TcpStream>(stream, &*script, &seen, &counts).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serve(stream, &*script, &seen, &counts).await;
                        }
                    }
                });
            }
        });
        Self { port, requests, connections, task }
    }

    /// What has come so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// The ids of what has come so far.
    pub fn ids(&self) -> Vec<String> {
        self.requests().iter().map(Request::id).collect()
    }

    /// Waits until so many have come.
    pub async fn count(&self, count: usize) -> Vec<Request> {
        self.until(&format!("{count} requests"), |all| all.len() >= count).await
    }

    /// Waits until so many connections were made.
    pub async fn connected(&self, count: usize) {
        let mut connections = self.connections.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), connections.wait_for(|now| *now >= count)).await;
        waited.expect("connections in time").unwrap();
    }

    /// Waits until what has come is as wanted.
    pub async fn until(&self, what: &str, is: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let mut requests = self.requests.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), requests.wait_for(|all| is(all))).await;
        match waited {
            Ok(all) => all.unwrap().clone(),
            Err(_) => panic!("not in time: {what}; came: {:?}", self.ids()),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: &Script,
    seen: &watch::Sender<Vec<Request>>,
    counts: &Mutex<HashMap<String, usize>>,
) {
    while let Some(request) = read(&mut stream).await {
        let before = {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(request.id()).or_default();
            *count += 1;
            *count - 1
        };
        let manner = script(&request, before);
        seen.send_modify(|all| all.push(request));
        let answer = match manner {
            Manner::Status(status) => format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n"),
            Manner::Redirect(port) => {
                format!("HTTP/1.1 307 So\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n")
            }
            Manner::Hang => std::future::pending().await,
            Manner::CloseInTheMiddle => {
                let _gone = stream.write_all(b"HTTP/1.1 2").await;
                return;
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        bytes.push(stream.read_u8().await.ok()?);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<String, String> = lines.filter_map(pair).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).unwrap() })
}
