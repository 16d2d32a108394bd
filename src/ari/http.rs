//! Requests over HTTP, for servers that do not take them over the event WebSocket.

use std::time::Duration;

use secrecy::ExposeSecret;

use crate::{
    ari::{Error, Method, Request, Response, socket::sort},
    config,
};

/// The longest time for one request.
const ANSWER: Duration = Duration::from_secs(5);

/// A client of one server.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    user: String,
    password: secrecy::SecretString,
}

impl Http {
    pub(super) fn new(config: &config::Asterisk) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(ANSWER).no_proxy().build()?;
        let password = config.password.clone().unwrap_or_else(|| String::new().into());
        Ok(Self { client, base: format!("{}/ari/", config.url), user: config.user.clone(), password })
    }

    /// Sends a request and sorts its answer.
    pub(super) async fn send(&self, request: &Request) -> Result<Response, Error> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self
            .client
            .request(method, format!("{}{}", self.base, request.uri()))
            .basic_auth(&self.user, Some(self.password.expose_secret()));
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await.map_err(|e| unsent(&e))?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|_| Error::OutcomeUnknown)?;
        sort(status, body)
    }
}

fn unsent(error: &reqwest::Error) -> Error {
    if error.is_connect() || error.is_builder() { Error::NotSent } else { Error::OutcomeUnknown }
}
