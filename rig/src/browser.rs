//! A browser without a window, by the WebDriver protocol (W3C): Chromium, from Debian's packages.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    ari,
    instance::Instance,
    process::{Farewell, Process, Program},
    wait,
};

const DRIVER: &str = "/usr/bin/chromedriver";
const START: Duration = Duration::from_secs(30);
/// It talks to nobody but the page; without a sandbox, since that refuses root.
const OPTIONS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=900,700",
];

/// Whether the packages `chromium` and `chromium-driver` are installed.
pub fn is_installed() -> bool {
    Path::new(DRIVER).exists()
}

/// A running browser with one page.
#[derive(Debug)]
pub struct Browser {
    driver: Process,
    http: reqwest::Client,
    session: String,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub async fn start(instance: &Instance) -> Result<Self> {
        let port = instance.port()?;
        let profile = instance.subfolder("browser")?;
        let driver = Program::new(instance, "chromedriver", DRIVER)
            .args([format!("--port={port}")])
            .env("HOME", &profile)
            .env("TMPDIR", &profile)
            .farewell(Farewell::Term)
            .start(instance)?;
        let http = ari::http().timeout(START).build()?;
        let url = format!("http://127.0.0.1:{port}");
        driver
            .ready("answers", START, || async {
                Ok(http.get(format!("{url}/status")).send().await?.error_for_status().map(drop)?)
            })
            .await?;
        let mut options: Vec<String> = OPTIONS.iter().map(|option| (*option).to_owned()).collect();
        options.push(format!("--user-data-dir={}", profile.display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": options } } } });
        let mut browser = Self { driver, http, session: format!("{url}/session") };
        let made = browser.ask("", &wanted).await?;
        let id = made["sessionId"].as_str().context("a session without an id")?;
        browser.session = format!("{url}/session/{id}");
        Ok(browser)
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.ask("/url", &json!({ "url": url })).await.map(drop)
    }

    /// Runs a script in the page, as the body of a function, and yields what it returns.
    ///
    /// # Errors
    /// When it throws.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.ask("/execute/sync", &json!({ "script": script, "args": arguments })).await
    }

    /// The text that a person sees in the page.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn text(&self) -> Result<String> {
        let text = self.run("return document.body.innerText", &[]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the text that a person sees is as wanted.
    ///
    /// # Errors
    /// After `within`, with the text that is there.
    pub async fn shows(&self, what: &str, within: Duration, is: impl Fn(&str) -> bool) -> Result<()> {
        wait::until(&format!("the page shows {what}"), within, || async {
            match self.text().await? {
                text if is(&text) => Ok(()),
                text => bail!("{text}"),
            }
        })
        .await
    }

    /// A picture of the page, as PNG.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn picture(&self) -> Result<Vec<u8>> {
        let answer = self.http.get(format!("{}/screenshot", self.session)).send().await?.json::<Value>().await?;
        Ok(STANDARD.decode(answer["value"].as_str().context("no picture")?)?)
    }

    async fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.http.post(format!("{}{path}", self.session)).json(body).send().await?;
        let is_fine = answer.status().is_success();
        let mut answer: Value = answer.json().await?;
        if !is_fine {
            bail!("the browser refuses {path}: {}; {}", answer["value"]["message"], self.driver.log_tail());
        }
        Ok(answer["value"].take())
    }
}
