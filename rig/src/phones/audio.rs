//! A leg's ears and mouth: Asterisk sends what the leg receives over a TCP connection (AudioSocket) and takes what we say.
//!
//! AudioSocket: a type (1 byte), a length (2 bytes, big-endian), the content. 0x01 is the id of the connection, 0x10 is
//! signed linear audio, 8 kHz, little-endian.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::MissedTickBehavior,
};
use uuid::Uuid;

use crate::sound::{self, Heard, Prompts};

const ID: u8 = 0x01;
const AUDIO: u8 = 0x10;
/// Samples in 20 ms.
const FRAME: usize = 160;
/// Between two looks at what has come in.
const LOOK: Duration = Duration::from_millis(60);

/// What one leg hears and says.
#[derive(Debug, Default)]
pub struct Audio {
    received: Mutex<Received>,
    hertz: AtomicU32,
}

#[derive(Debug, Default)]
struct Received {
    samples: Vec<i16>,
    first: Option<Instant>,
    /// Up to here, `wait_for_prompt` has looked with success.
    cursor: usize,
}

impl Audio {
    /// Everything received so far, 8 kHz.
    pub fn recording(&self) -> Vec<i16> {
        self.received().samples.clone()
    }

    /// When the first sound came; offsets in the recording count from here.
    pub fn began(&self) -> Option<Instant> {
        self.received().first
    }

    /// Says a tone from now on; 0 is silence.
    pub fn say_tone(&self, hertz: u32) {
        self.hertz.store(hertz, Ordering::Relaxed);
    }

    /// Waits until the prompt has been heard, after the one waited for last.
    ///
    /// # Errors
    /// After `within`, with what was heard instead.
    pub async fn wait_for_prompt(&self, prompts: &Prompts, name: &str, within: Duration) -> Result<Heard> {
        let wanted = prompts.only(name)?;
        let begin = Instant::now();
        let mut from = self.received().cursor;
        loop {
            let part = self.received().samples.get(from..).unwrap_or_default().to_vec();
            if let Some(first) = sound::heard(&part, &wanted).into_iter().next() {
                let start = sound::span(from) + first.start;
                // Past the middle of what was recognised: the same prompt again is another one.
                let past = from + (first.start.as_secs_f64() * sound::RATE as f64) as usize + wanted.reach() / 2;
                self.received().cursor = past;
                return Ok(Heard { start, ..first });
            }
            if begin.elapsed() > within {
                let all: Vec<_> = sound::heard(&self.recording(), prompts).into_iter().map(|h| h.prompt).collect();
                bail!("prompt {name:?} was not heard within {within:?}; heard from the beginning: {all:?}");
            }
            from = from.max((from + part.len()).saturating_sub(wanted.reach()));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a tone has been heard for 300 ms, beginning now.
    ///
    /// # Errors
    /// After `within`.
    pub async fn wait_for_tone(&self, hertz: u32, within: Duration) -> Result<()> {
        let begin = Instant::now();
        let from = self.received().samples.len();
        loop {
            let part = self.received().samples.get(from..).unwrap_or_default().to_vec();
            if sound::tone(&part, hertz as f32) >= Duration::from_millis(300) {
                return Ok(());
            }
            if begin.elapsed() > within {
                bail!(
                    "a tone of {hertz} Hz was not heard within {within:?} (heard {} samples of anything)",
                    part.len()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where Asterisk's connections arrive.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) port: u16,
    expected: Arc<Mutex<HashMap<Uuid, Arc<Audio>>>>,
    task: JoinHandle<()>,
}

impl Exchange {
    pub(super) async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let expected: Arc<Mutex<HashMap<Uuid, Arc<Audio>>>> = Arc::default();
        let all = Arc::clone(&expected);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    // The connection ends with the leg; there is nothing to say about it.
                    let _ = attend(stream, &all).await;
                });
            }
        });
        Ok(Self { port, expected, task })
    }

    pub(super) fn expect(&self, id: Uuid) -> Arc<Audio> {
        let audio = Arc::<Audio>::default();
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&audio));
        audio
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn attend(stream: TcpStream, expected: &Mutex<HashMap<Uuid, Arc<Audio>>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let (kind, content) = message(&mut reader).await?;
    if kind != ID {
        bail!("no id");
    }
    let id = Uuid::from_slice(&content)?;
    let found = expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    let Some(audio) = found else { bail!("an id nobody expects") };
    let speaker = Arc::clone(&audio);
    let speak = async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        // As a phone does: what is late is sent at once, so that the stream has no gap.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut said = 0;
        loop {
            tick.tick().await;
            let hertz = speaker.hertz.load(Ordering::Relaxed);
            let mut frame = vec![AUDIO, (FRAME * 2 / 256) as u8, (FRAME * 2 % 256) as u8];
            if hertz == 0 {
                frame.resize(3 + FRAME * 2, 0);
            } else {
                frame.extend(sound::sine(hertz as f32, said, FRAME).flat_map(i16::to_le_bytes));
            }
            said += FRAME;
            writer.write_all(&frame).await?;
        }
    };
    let listen = async {
        loop {
            let (kind, content) = message(&mut reader).await?;
            if kind == AUDIO {
                let mut received = audio.received();
                received.first.get_or_insert_with(Instant::now);
                received.samples.extend(content.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
            }
        }
    };
    let ended: Result<()> = tokio::select! { end = speak => end, end = listen => end };
    ended
}

async fn message(reader: &mut (impl AsyncReadExt + Unpin)) -> Result<(u8, Vec<u8>)> {
    let mut head = [0; 3];
    reader.read_exact(&mut head).await?;
    let mut content = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    reader.read_exact(&mut content).await?;
    Ok((head[0], content))
}
