//! One HTTP request, and how it ended.

use std::{error::Error as _, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Client, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect,
};

use crate::{
    bridge::{
        config::Receiver,
        outbox::Delivery,
        request::{Body, Format},
        retry::Outcome,
        sign::{self, Key},
    },
    login,
};

/// Name of the header with the id that all tries of a request share.
pub const ID_HEADER: &str = "x-usher-event";

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authorities to trust cannot be read.
    #[error("{0}")]
    Trust(#[from] login::Failure),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// Sends to one receiver.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    url: Url,
    key: Option<Key>,
    format: Format,
}

impl Sender {
    /// # Errors
    /// When the authorities to trust cannot be read.
    pub fn new(receiver: &Receiver) -> Result<Self, Error> {
        let trust = login::trust(receiver.ca_file.as_deref())?;
        let client = Client::builder()
            .timeout(receiver.timeout)
            // A redirection would turn the request into another one, at an address that nobody gave.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("software-sim/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured((*trust).clone())
            .build()
            .map_err(Error::Client)?;
        let (url, key, format) = (receiver.url.clone(), receiver.key.clone(), receiver.format.clone());
        Ok(Self { client, url, key, format })
    }

    /// In which form the receiver wants it.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Sends it, once.
    pub async fn send(&self, delivery: &Delivery) -> Outcome {
        let Body { media_type, bytes } = self.format.body(delivery);
        let mut request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, media_type).header(ID_HEADER, &delivery.id);
        if let Some(key) = &self.key {
            request = request.header(sign::HEADER, key.sign(Timestamp::now().as_second(), &bytes));
        }
        match request.body(bytes).send().await {
            Ok(answer) => {
                let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Outcome::Answered { status: answer.status().as_u16(), wait: wait.map(Duration::from_secs) }
            }
            // The address may hold a secret, and is not told.
            Err(error) if error.is_connect() => Outcome::NotSent { why: reason(error.without_url()) },
            Err(error) if error.is_timeout() => Outcome::Unknown { why: "the receiver does not answer".into() },
            Err(error) => Outcome::Unknown { why: reason(error.without_url()) },
        }
    }
}

/// An error and what caused it.
fn reason(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
