//! A leg's ears and mouth: Asterisk sends what the leg receives as RTP to a socket of ours and takes what we say.
//!
//! All of it is µ-law, as on the wire: where Asterisk recodes a stream, it drops what comes after the sender has begun
//! to count anew, as a switchboard's does when it begins to pass packets through.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::{net::UdpSocket, time::MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use crate::sound::{self, Heard, Prompts};

/// RTP payload type of µ-law (RFC 3551).
const ULAW: u8 = 0;
/// Bytes before the payload, without sources and extensions.
const HEADER: usize = 12;
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
    /// After how many samples a packet came, and when.
    packets: Vec<(usize, Instant)>,
    /// Up to here, `wait_for_prompt` has looked with success.
    cursor: usize,
}

impl Audio {
    /// Everything received so far, 8 kHz.
    pub fn recording(&self) -> Vec<i16> {
        self.received().samples.clone()
    }

    /// When the sound at this offset of the recording came. What Asterisk did not send, for want of a processor, is not in the
    /// recording: its offsets are no times.
    pub fn came(&self, offset: Duration) -> Option<Instant> {
        let received = self.received();
        let sample = (offset.as_secs_f64() * sound::RATE as f64) as usize;
        let later = received.packets.partition_point(|(before, _)| *before <= sample);
        received.packets.get(later.checked_sub(1)?).map(|(_, at)| *at)
    }

    /// How much had been received by then.
    pub fn length_at(&self, moment: Instant) -> Duration {
        let received = self.received();
        let later = received.packets.partition_point(|(_, at)| *at <= moment);
        sound::span(received.packets.get(later).map_or(received.samples.len(), |(before, _)| *before))
    }

    /// Says a tone from now on; 0 is silence.
    pub fn say_tone(&self, hertz: u32) {
        self.hertz.store(hertz, Ordering::Relaxed);
    }

    /// Waits until the prompt has been heard, after the one waited for last; gives up as soon as `is_over`.
    ///
    /// # Errors
    /// After `within`, with what was heard instead.
    pub(super) async fn wait_for_prompt(
        &self,
        prompts: &Prompts,
        name: &str,
        within: Duration,
        is_over: impl Fn() -> bool,
    ) -> Result<Heard> {
        let wanted = prompts.only(name)?;
        let begin = Instant::now();
        let mut from = self.received().cursor;
        loop {
            let part = self.received().samples.get(from..).unwrap_or_default().to_vec();
            let is_last = begin.elapsed() > within || is_over();
            let first = match sound::heard(&part, &wanted).into_iter().next() {
                Some(first) => Some(first),
                None => sound::heard_in_part(&part, prompts, name, is_last)?,
            };
            if let Some(first) = first {
                let start = sound::span(from) + first.start;
                // Past the middle of what was recognised: the same prompt again is another one.
                let past = from + (first.start.as_secs_f64() * sound::RATE as f64) as usize + wanted.reach() / 2;
                self.received().cursor = past;
                return Ok(Heard { start, ..first });
            }
            if is_last {
                let recording = self.recording();
                let all: Vec<_> = sound::heard(&recording, prompts).into_iter().map(|h| h.prompt).collect();
                bail!(
                    "prompt {name:?} was not heard within {:?}; heard from the beginning: {all:?}, {}",
                    begin.elapsed(),
                    sound::described(&recording)
                );
            }
            from = from.max((from + part.len()).saturating_sub(wanted.reach() * 2));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a tone has been heard for 300 ms, beginning now; gives up as soon as `is_over`.
    ///
    /// # Errors
    /// After `within`, with what was heard instead.
    pub(super) async fn wait_for_tone(&self, hertz: u32, within: Duration, is_over: impl Fn() -> bool) -> Result<()> {
        let begin = Instant::now();
        let from = self.received().samples.len();
        loop {
            let part = self.received().samples.get(from..).unwrap_or_default().to_vec();
            if sound::tone(&part, hertz as f32) >= Duration::from_millis(300) {
                return Ok(());
            }
            if begin.elapsed() > within || is_over() {
                let heard = sound::described(&part);
                bail!("a tone of {hertz} Hz was not heard within {:?}, but {heard}", begin.elapsed());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries a leg's audio until it is dropped: what Asterisk sends into `audio`, what `audio` says to `asterisk`.
pub(super) fn carry(socket: UdpSocket, asterisk: SocketAddr, audio: Arc<Audio>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::join!(speak(&socket, asterisk, &audio), listen(&socket, &audio));
    }))
}

async fn speak(socket: &UdpSocket, asterisk: SocketAddr, audio: &Audio) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    // As a phone does: what is late is sent at once, so that the stream has no gap.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let source = std::process::id();
    let (mut sequence, mut said) = (0u16, 0usize);
    loop {
        tick.tick().await;
        let hertz = audio.hertz.load(Ordering::Relaxed);
        let mut packet = vec![0x80, ULAW];
        packet.extend(sequence.to_be_bytes());
        packet.extend((said as u32).to_be_bytes());
        packet.extend(source.to_be_bytes());
        if hertz == 0 {
            packet.resize(HEADER + FRAME, to_ulaw(0));
        } else {
            packet.extend(sound::sine(hertz as f32, said, FRAME).map(to_ulaw));
        }
        // A lost packet is lost, as on any wire.
        let _ = socket.send_to(&packet, asterisk).await;
        sequence = sequence.wrapping_add(1);
        said += FRAME;
    }
}

async fn listen(socket: &UdpSocket, audio: &Audio) {
    let mut buffer = [0; 2048];
    loop {
        let Ok(count) = socket.recv(&mut buffer).await else { continue };
        if let Some(voice) = buffer.get(..count).and_then(payload) {
            let mut received = audio.received();
            let before = received.samples.len();
            received.packets.push((before, Instant::now()));
            received.samples.extend(voice.iter().map(|byte| from_ulaw(*byte)));
        }
    }
}

/// The voice in an RTP packet (RFC 3550 section 5.1), if it is µ-law.
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (first, second) = (*packet.first()?, *packet.get(1)?);
    if second & 0x7f != ULAW {
        return None;
    }
    let sources = usize::from(first & 0x0f) * 4;
    let extension = match first & 0x10 {
        0 => 0,
        _ => {
            let length = packet.get(HEADER + sources + 2..HEADER + sources + 4)?;
            4 + usize::from(u16::from_be_bytes([length[0], length[1]])) * 4
        }
    };
    packet.get(HEADER + sources + extension..)
}

/// ITU-T G.711, µ-law.
fn from_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((i16::from(byte & 0x0f) << 3) + 0x84) << ((byte & 0x70) >> 4);
    if byte & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

fn to_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(32_635) + 0x84;
    let exponent = (8u16 - magnitude.leading_zeros() as u16).min(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_word_of_g711_survives_the_way_there_and_back() {
        for byte in 0..=255 {
            let back = to_ulaw(from_ulaw(byte));
            // 0x7f and 0xff are the two zeros.
            assert!(back == byte || (byte == 0x7f && back == 0xff), "{byte:#x} became {back:#x}");
        }
    }

    #[test]
    fn only_voice_is_heard_and_headers_are_not() {
        assert_eq!(payload(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8]), Some(&[7, 8][..]));
        assert_eq!(payload(&[0x90, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 9]), Some(&[9][..]));
        assert_eq!(payload(&[0x80, 101, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8]), None);
        assert_eq!(payload(&[0x80]), None);
    }
}
