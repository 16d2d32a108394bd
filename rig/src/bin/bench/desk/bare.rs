//! What the server itself can take: stanzas that were written before the clock ran, and as many under way as it likes best.
//!
//! On a thread of its own, as the other two are processes of their own.

use std::{
    fmt::Write as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};
use usher_rig::prosody::{PUBSUB, Prosody};

use super::{Job, REVISION, Setting, members::announcement, pieces::Piece, wire::Wire};

/// How often the server is asked what it has: so many times in what is under way at once.
const QUESTIONS: usize = 4;
const QUESTION: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// A job, and where its times go.
type Order = (Job, oneshot::Sender<Result<Vec<Duration>>>);

/// The bare sender.
#[derive(Debug)]
pub struct Bare(mpsc::Sender<Order>);

impl Bare {
    /// Logs in on a thread of its own.
    pub async fn start(prosody: &Arc<Prosody>, setting: &Setting) -> Result<Self> {
        let (orders, mut inbox) = mpsc::channel::<Order>(1);
        let (ready, up) = oneshot::channel();
        let (prosody, setting) = (Arc::clone(prosody), setting.clone());
        let body = async move {
            let wire = async {
                let mut wire = Wire::log_in(&prosody, "usher").await?;
                wire.count().await?;
                anyhow::Ok(wire)
            };
            let mut sender = match wire.await {
                Ok(wire) => Sender { wire, setting, sent: 0 },
                Err(error) => return drop(ready.send(Err(error))),
            };
            // Who started it waits.
            let _gone = ready.send(Ok(()));
            while let Some((job, answer)) = inbox.recv().await {
                let _gone = answer.send(sender.work(&job).await);
            }
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || runtime.block_on(body));
        up.await.context("the bare sender died")??;
        Ok(Self(orders))
    }

    /// Does one job.
    pub async fn work(&self, job: &Job) -> Result<Vec<Duration>> {
        let (answer, times) = oneshot::channel();
        self.0.send((job.clone(), answer)).await.context("the bare sender died")?;
        times.await.context("the bare sender died")?
    }
}

struct Sender {
    wire: Wire,
    setting: Setting,
    /// Stanzas so far.
    sent: u32,
}

impl Sender {
    async fn work(&mut self, job: &Job) -> Result<Vec<Duration>> {
        match job {
            Job::Messages { mark, window } => Ok(vec![self.messages(mark, *window).await?]),
            Job::Publishes { revision, window } => Ok(vec![self.publishes(*revision, *window).await?]),
            Job::Pops { revision, count } => {
                let mut times = Vec::new();
                for node in 0..*count {
                    let stanza = self.publish(node % self.setting.extensions.len(), *revision);
                    let begin = Instant::now();
                    self.wire.write(stanza.as_bytes()).await?;
                    self.sent = self.sent.wrapping_add(1);
                    while !is_confirmation(&self.wire.next().await?)? {}
                    times.push(begin.elapsed());
                }
                Ok(times)
            }
            Job::Amid { .. } => bail!("for the desk alone"),
        }
    }

    async fn messages(&mut self, mark: &str, window: usize) -> Result<Duration> {
        let body = announcement(mark);
        let one = |to: &String| {
            let id = uuid::Uuid::new_v4();
            format!(
                "<message to='{to}' id='{id}' type='chat'><body>{body}</body><no-store xmlns='urn:xmpp:hints'/>\
                 <no-permanent-store xmlns='urn:xmpp:hints'/></message>"
            )
        };
        let stanzas: Vec<String> = self.setting.members.iter().map(one).collect();
        let before = self.sent;
        let (mut sent, mut acknowledged, mut asked) = (0, 0, 0);
        let mut text = String::new();
        let begin = Instant::now();
        while acknowledged < stanzas.len() {
            text.clear();
            for stanza in stanzas.iter().take(acknowledged + window).skip(sent) {
                text.push_str(stanza);
                sent += 1;
                if sent - asked >= (window / QUESTIONS).max(1) || sent == stanzas.len() {
                    text.push_str(QUESTION);
                    asked = sent;
                }
            }
            self.wire.write(text.as_bytes()).await?;
            let mut next = Some(self.wire.next().await?);
            while let Some(piece) = next {
                if piece.name() == "a" {
                    let handled: u32 = piece.attribute("h").context("an answer without a number")?.parse()?;
                    acknowledged = usize::try_from(handled.wrapping_sub(before))?;
                }
                next = self.wire.come().await?;
            }
        }
        let took = begin.elapsed();
        ensure!(acknowledged == stanzas.len(), "{acknowledged} of {} are acknowledged", stanzas.len());
        self.sent = before.wrapping_add(u32::try_from(stanzas.len())?);
        Ok(took)
    }

    async fn publishes(&mut self, revision: u32, window: usize) -> Result<Duration> {
        let stanzas: Vec<String> =
            (0..self.setting.extensions.len()).map(|node| self.publish(node, revision)).collect();
        let (mut sent, mut confirmed) = (0, 0);
        let mut text = String::new();
        let begin = Instant::now();
        while confirmed < stanzas.len() {
            text.clear();
            for stanza in stanzas.iter().take(confirmed + window).skip(sent) {
                text.push_str(stanza);
                sent += 1;
            }
            self.wire.write(text.as_bytes()).await?;
            let mut next = Some(self.wire.next().await?);
            while let Some(piece) = next {
                confirmed += usize::from(is_confirmation(&piece)?);
                next = self.wire.come().await?;
            }
        }
        let took = begin.elapsed();
        self.sent = self.sent.wrapping_add(u32::try_from(stanzas.len())?);
        Ok(took)
    }

    fn publish(&self, node: usize, revision: u32) -> String {
        let at = |list: &[String]| list.get(node).cloned().unwrap_or_default();
        let (extension, item) = (at(&self.setting.extensions), at(&self.setting.items));
        let mut text = format!(
            "<iq type='set' to='{PUBSUB}' id='b{node}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='extension{extension}'><item id='{item}'>"
        );
        text.push_str(&self.setting.pop.replace(REVISION, &revision.to_string()));
        let _fine = write!(text, "</item></publish></pubsub></iq>");
        text
    }
}

/// Whether this begins a result; a refusal is an error.
fn is_confirmation(piece: &Piece) -> Result<bool> {
    let is_answer = piece.name() == "iq";
    ensure!(!is_answer || piece.attribute("type") == Some("result"), "a publish is refused: {piece:?}");
    Ok(is_answer)
}
