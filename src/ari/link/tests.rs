use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};

use super::*;
use crate::{domain::id::ChannelId, fence::Gate};

const PATIENCE: Duration = Duration::from_secs(20);
const AN_HOUR: Duration = Duration::from_secs(3600);

/// What the other side of the link sees.
#[derive(Debug, PartialEq)]
enum Seen {
    /// A mark was left.
    Marked(String),
    /// The mark was read.
    Looked,
    Connected,
    Request(String),
    Ping,
}

/// An Asterisk that grants everything.
struct Asterisk {
    config: config::Asterisk,
    seen: mpsc::UnboundedReceiver<Seen>,
    place: Arc<Place>,
}

#[derive(Default)]
struct Place {
    mark: Mutex<String>,
    /// Left by another one in the moment in which we connect.
    rival: Mutex<Option<String>>,
    /// Ends the WebSocket.
    cut: Notify,
}

impl Place {
    fn mark(&self) -> String {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_mark(&self, mark: &str) {
        mark.clone_into(&mut self.mark.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Asterisk {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, seen) = mpsc::unbounded_channel();
        let place = Arc::new(Place::default());
        let shared = Arc::clone(&place);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, told.clone(), Arc::clone(&shared)));
            }
        });
        let config = config::Asterisk {
            name: "pbx".into(),
            url,
            app: "usher".into(),
            user: "usher".into(),
            password_file: None,
            requests: Requests::Websocket,
            password: None,
        };
        Self { config, seen, place }
    }

    /// Keeps it connected as `me`, until the guard is dropped.
    fn serve(&self, fence: Fence) -> Served {
        // As main does; another test may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stop = CancellationToken::new();
        let terms = Terms { fence, mark: "me".into(), globals: Vec::new() };
        let (ari, incoming, _task) = spawn(self.config.clone(), terms, stop.clone()).unwrap();
        (ari, incoming, stop.drop_guard())
    }

    async fn next(&mut self) -> Seen {
        timeout(PATIENCE, self.seen.recv()).await.expect("nothing comes").unwrap()
    }

    /// Passes over what it sees until then.
    async fn until(&mut self, expected: &Seen) {
        while self.next().await != *expected {}
    }

    /// Everything that has been seen and not been looked at.
    fn rest(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

async fn answer(mut stream: TcpStream, told: mpsc::UnboundedSender<Seen>, place: Arc<Place>) {
    let mut head = [0; 16];
    while stream.peek(&mut head).await.unwrap() < head.len() {}
    if head.starts_with(b"GET /ari/events") {
        return websocket(stream, told, place).await;
    }
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    match request.split("value=").nth(1) {
        Some(value) => {
            place.set_mark(value.split(' ').next().unwrap());
            told.send(Seen::Marked(place.mark())).unwrap();
        }
        None => told.send(Seen::Looked).unwrap(),
    }
    let body = json!({ "value": place.mark() }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
}

async fn websocket(stream: TcpStream, told: mpsc::UnboundedSender<Seen>, place: Arc<Place>) {
    let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
    let rival = place.rival.lock().unwrap_or_else(PoisonError::into_inner).take();
    rival.iter().for_each(|mark| place.set_mark(mark));
    told.send(Seen::Connected).unwrap();
    loop {
        let message = tokio::select! {
            message = ws.next() => message,
            () = place.cut.notified() => return,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                let request: Value = serde_json::from_str(&text).unwrap();
                told.send(Seen::Request(request["uri"].as_str().unwrap().to_owned())).unwrap();
                let id = &request["request_id"];
                let body = json!({ "value": place.mark() }).to_string();
                let answer =
                    json!({ "type": "RESTResponse", "request_id": id, "status_code": 200, "message_body": body });
                ws.send(Message::text(answer.to_string())).await.unwrap();
            }
            Some(Ok(Message::Ping(_))) => told.send(Seen::Ping).unwrap(),
            Some(Ok(Message::Binary(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
            Some(Err(_)) | None => return,
        }
    }
}

async fn is_up(incoming: &mut mpsc::Receiver<Incoming>) {
    while !matches!(timeout(PATIENCE, incoming.recv()).await.expect("it does not come up").unwrap(), Incoming::Up) {}
}

#[tokio::test]
async fn one_that_may_not_act_neither_connects_nor_sends_and_what_it_was_to_send_goes_when_it_may() {
    let mut asterisk = Asterisk::start().await;
    let (gate, fence) = Gate::new(Instant::now());
    let (ari, mut incoming, _guard) = asterisk.serve(fence);
    assert_eq!(asterisk.next().await, Seen::Looked);
    assert!(asterisk.rest().is_empty(), "it took the application");
    gate.set(Instant::now() + AN_HOUR);
    is_up(&mut incoming).await;
    let seen = asterisk.rest();
    let marked = seen.iter().position(|seen| *seen == Seen::Marked("me".into()));
    assert!(marked.is_some() && marked < seen.iter().position(|seen| *seen == Seen::Connected), "{seen:?}");

    let closed = Instant::now();
    gate.set(closed);
    let channel = ChannelId::new("1.1");
    let answer = ari.send(Request::hang_up(&channel));
    // Signs of life are exchanged, and prove that the place is ours still; the request is not among them.
    asterisk.until(&Seen::Ping).await;
    timeout(PATIENCE, async {
        while gate.proven().is_none_or(|asked| asked < closed) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let wanted = Seen::Request("channels/1.1".into());
    assert!(!asterisk.rest().contains(&wanted), "it was sent all the same");
    gate.set(Instant::now() + AN_HOUR);
    asterisk.until(&wanted).await;
    answer.wait().await.unwrap();
}

type Served = (Ari, mpsc::Receiver<Incoming>, tokio_util::sync::DropGuard);

/// One that was up, may not act any more, and has lost its connection meanwhile.
async fn cut_off_in_doubt(mark: &str) -> (Asterisk, Gate, Served) {
    let mut asterisk = Asterisk::start().await;
    let (gate, fence) = Gate::new(Instant::now() + AN_HOUR);
    let mut served = asterisk.serve(fence);
    is_up(&mut served.1).await;
    gate.set(Instant::now());
    asterisk.place.set_mark(mark);
    asterisk.rest();
    asterisk.place.cut.notify_one();
    asterisk.until(&Seen::Looked).await;
    (asterisk, gate, served)
}

#[tokio::test]
async fn one_that_was_cut_off_in_doubt_comes_back_to_its_place_and_that_is_the_proof() {
    let (mut asterisk, gate, (_ari, mut incoming, _guard)) = cut_off_in_doubt("me").await;
    for expected in [Seen::Connected, Seen::Looked, Seen::Ping] {
        assert_eq!(asterisk.next().await, expected);
    }
    timeout(PATIENCE, async {
        while gate.proven().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a proof");
    assert!(asterisk.rest().is_empty(), "nothing is asked before it may act");
    gate.set(Instant::now() + AN_HOUR);
    is_up(&mut incoming).await;
}

#[tokio::test]
async fn one_that_was_cut_off_in_doubt_does_not_throw_out_whoever_took_its_place() {
    let (mut asterisk, gate, _served) = cut_off_in_doubt("another").await;
    timeout(PATIENCE, gate.replaced()).await.expect("it is told that it was replaced");
    assert_eq!(gate.proven(), None);
    assert!(!asterisk.rest().contains(&Seen::Connected), "it took the application");
}

#[tokio::test]
async fn one_that_goes_on_without_the_database_looks_before_it_connects_again() {
    for (mark, expected) in [("me", "me"), ("", "me"), ("another", "another")] {
        let mut asterisk = Asterisk::start().await;
        let (gate, fence) = Gate::new(Instant::now() + AN_HOUR);
        let (_ari, mut incoming, _guard) = asterisk.serve(fence);
        is_up(&mut incoming).await;
        gate.set_alone(Instant::now() + AN_HOUR);
        asterisk.place.set_mark(mark);
        asterisk.rest();
        asterisk.place.cut.notify_one();
        if mark == "another" {
            timeout(PATIENCE, gate.replaced()).await.expect("it is told that it was replaced");
            assert!(!asterisk.rest().contains(&Seen::Connected), "it took the application");
        } else {
            is_up(&mut incoming).await;
        }
        assert_eq!(asterisk.place.mark(), expected);
    }
}

#[tokio::test]
async fn an_asterisk_that_forgot_whose_it_is_proves_nothing_and_is_asked_again() {
    let (mut asterisk, gate, (_ari, mut incoming, _guard)) = cut_off_in_doubt("").await;
    asterisk.until(&Seen::Looked).await;
    assert_eq!(gate.proven(), None);
    assert!(!asterisk.rest().contains(&Seen::Connected), "it took the application");
    // The database says that it is still active.
    gate.set(Instant::now() + AN_HOUR);
    is_up(&mut incoming).await;
    assert_eq!(asterisk.place.mark(), "me");
}

#[tokio::test]
async fn one_that_was_stopped_while_it_connected_leaves_again_if_another_one_was_there() {
    let mut asterisk = Asterisk::start().await;
    let (gate, fence) = Gate::new(Instant::now());
    asterisk.place.set_mark("me");
    *asterisk.place.rival.lock().unwrap() = Some("another".into());
    let (_ari, _incoming, _guard) = asterisk.serve(fence);
    asterisk.until(&Seen::Connected).await;
    timeout(PATIENCE, gate.replaced()).await.expect("it sees who was there");
    assert_eq!(gate.proven(), None);
}
