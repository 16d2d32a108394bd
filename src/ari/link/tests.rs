use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::{domain::id::ChannelId, fence::Gate};

const PATIENCE: Duration = Duration::from_secs(20);
const AN_HOUR: Duration = Duration::from_secs(3600);

/// What the other side of the link sees.
#[derive(Debug, PartialEq)]
enum Seen {
    Connected,
    Request(String),
    Ping,
}

/// An Asterisk that grants everything, one connection after the other.
async fn asterisk() -> (config::Asterisk, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
            told.send(Seen::Connected).unwrap();
            while let Some(Ok(message)) = ws.next().await {
                match message {
                    Message::Text(text) => {
                        let request: Value = serde_json::from_str(&text).unwrap();
                        told.send(Seen::Request(request["uri"].as_str().unwrap().to_owned())).unwrap();
                        let id = &request["request_id"];
                        let answer = json!({
                            "type": "RESTResponse", "request_id": id, "status_code": 200, "message_body": "{}"
                        });
                        ws.send(Message::text(answer.to_string())).await.unwrap();
                    }
                    Message::Ping(_) => told.send(Seen::Ping).unwrap(),
                    Message::Binary(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
                }
            }
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
    (config, seen)
}

async fn next(seen: &mut mpsc::UnboundedReceiver<Seen>) -> Seen {
    timeout(PATIENCE, seen.recv()).await.expect("nothing comes").unwrap()
}

#[tokio::test]
async fn one_that_may_not_act_neither_connects_nor_sends_and_what_it_was_to_send_goes_when_it_may() {
    // As main does; another test may have done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (config, mut seen) = asterisk().await;
    let (gate, fence) = Gate::new(Instant::now());
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let (ari, mut incoming, _task) = spawn(config, Vec::new(), fence, stop).unwrap();
    tokio::task::yield_now().await;
    assert!(seen.is_empty(), "it took the application");
    gate.set(Instant::now() + AN_HOUR);
    assert!(matches!(timeout(PATIENCE, incoming.recv()).await.unwrap(), Some(Incoming::Up)));
    while seen.try_recv().is_ok() {}

    let closed = Instant::now();
    gate.set(closed);
    let channel = ChannelId::new("1.1");
    let answer = ari.send(Request::hang_up(&channel));
    // Signs of life are exchanged, and prove that the place is ours still; the request is not among them.
    assert_eq!(next(&mut seen).await, Seen::Ping);
    timeout(PATIENCE, async {
        while gate.proven().is_none_or(|asked| asked < closed) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(seen.is_empty(), "it was sent all the same");
    gate.set(Instant::now() + AN_HOUR);
    assert_eq!(next(&mut seen).await, Seen::Request("channels/1.1".into()));
    answer.wait().await.unwrap();
}
