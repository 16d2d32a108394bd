//! A small ARI client of the rig's own, independent of the service's: requests over HTTP, events over a WebSocket.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

/// Events between the socket and whoever handles them; Asterisk cuts a reader that stands still for 100 ms.
const EVENTS: usize = 4096;

/// A client for servers on loopback. It reads no certificates of the system: that takes longer than many requests, and no
/// server of a rig speaks HTTPS.
pub(crate) fn http() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().tls_certs_only([])
}

/// Access to one Asterisk's ARI.
#[derive(Debug, Clone)]
pub struct Ari {
    base: String,
    user: String,
    password: String,
    http: reqwest::Client,
}

/// An answer with its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; `Null` when there is none.
    pub body: Value,
}

impl Ari {
    /// `port` is the HTTP server's on 127.0.0.1.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(port: u16, user: &str, password: &str) -> Result<Self> {
        let http = http().timeout(Duration::from_secs(5)).build()?;
        let (user, password) = (user.to_owned(), password.to_owned());
        Ok(Self { base: format!("127.0.0.1:{port}"), user, password, http })
    }

    /// Sends a request and yields the answer, whatever its status.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Answer> {
        let url = format!("http://{}/ari/{path}", self.base);
        let mut request = self.http.request(method, url).basic_auth(&self.user, Some(&self.password)).query(query);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// GET; anything but success is an error.
    ///
    /// # Errors
    /// When there is no answer or it is a refusal.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.expect(Method::GET, path, &[]).await
    }

    /// POST with query parameters; anything but success is an error.
    ///
    /// # Errors
    /// As [`Ari::get`].
    pub async fn post(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.expect(Method::POST, path, query).await
    }

    /// DELETE; what is gone already is no error.
    ///
    /// # Errors
    /// When there is no answer or it is another refusal.
    pub async fn delete(&self, path: &str, query: &[(&str, &str)]) -> Result<()> {
        let answer = self.request(Method::DELETE, path, query, None).await?;
        if answer.status >= 300 && answer.status != 404 {
            bail!("DELETE {path}: {} {}", answer.status, answer.body);
        }
        Ok(())
    }

    async fn expect(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let answer = self.request(method.clone(), path, query, None).await?;
        if answer.status >= 300 {
            bail!("{method} {path}: {} {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    /// Opens the event socket of an application; the task ends with the socket or the receiver.
    ///
    /// # Errors
    /// When Asterisk refuses.
    pub async fn events(&self, app: &str) -> Result<(mpsc::Receiver<Value>, JoinHandle<()>)> {
        let url = format!("ws://{}/ari/events?app={app}&subscribeAll=true", self.base);
        let mut request = url.into_client_request()?;
        let login = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{}:{}", self.user, self.password),
        );
        request.headers_mut().insert("Authorization", HeaderValue::from_str(&format!("Basic {login}"))?);
        let (socket, _) = connect_async(request).await.context("the event socket")?;
        let (sender, receiver) = mpsc::channel(EVENTS);
        Ok((receiver, tokio::spawn(read(socket, sender))))
    }
}

async fn read(mut socket: WebSocketStream<MaybeTlsStream<TcpStream>>, sender: mpsc::Sender<Value>) {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && let Ok(event) = serde_json::from_str(&text)
            && sender.send(event).await.is_err()
        {
            return;
        }
    }
}
