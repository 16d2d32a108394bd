//! WebSocket frames in what a proxy has tapped (RFC 6455 section 5.2), read as JSON.

use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;
use usher_rig::proxy::{Direction, Tapped};

/// A text that passed.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When its last byte did.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// What.
    pub json: Value,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CONTROL: std::ops::RangeInclusive<u8> = 8..=10;

/// Everything that is JSON. The tap must have begun between two frames, and hold one connection.
///
/// # Errors
/// When what passed is not a WebSocket's.
pub fn read(tapped: &[Tapped]) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for direction in [Direction::ToClient, Direction::ToServer] {
        let (mut open, mut text) = (Vec::new(), Vec::new());
        for part in tapped.iter().filter(|part| part.direction == direction) {
            open.extend_from_slice(&part.bytes);
            while let Some((head, payload, length)) = next(&open) {
                open.drain(..length);
                match head & 0x0f {
                    TEXT | CONTINUATION => text.extend(payload),
                    code if CONTROL.contains(&code) => continue,
                    code => bail!("not a text frame: code {code}; was the ARI socket in use before the tap?"),
                }
                if head & 0x80 != 0
                    && let Ok(json) = serde_json::from_slice(&std::mem::take(&mut text))
                {
                    frames.push(Frame { at: part.at, direction, json });
                }
            }
        }
    }
    Ok(frames)
}

/// First byte, unmasked payload and length of the first whole frame.
fn next(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (head, second) = (*bytes.first()?, *bytes.get(1)?);
    let (size, mut from) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        size => (usize::from(size), 2),
    };
    let mask: [u8; 4] = if second & 0x80 == 0 {
        [0; 4]
    } else {
        from += 4;
        bytes.get(from - 4..from)?.try_into().ok()?
    };
    let payload = bytes.get(from..from + size)?.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((head, payload.collect(), from + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tapped(parts: &[&[u8]]) -> Vec<Tapped> {
        let part = |bytes: &&[u8]| Tapped { at: Instant::now(), direction: Direction::ToServer, bytes: bytes.to_vec() };
        parts.iter().map(part).collect()
    }

    #[test]
    fn a_masked_frame_that_came_in_pieces_is_read() {
        let frame = [0x81, 0x82, 1, 2, 3, 4, b'[' ^ 1, b']' ^ 2];
        let frames = read(&tapped(&[&frame[..3], &frame[3..]])).unwrap();
        assert_eq!(frames.iter().map(|frame| frame.json.clone()).collect::<Vec<_>>(), [serde_json::json!([])]);
    }

    #[test]
    fn a_ping_between_two_texts_is_passed_over() {
        let frames = read(&tapped(&[&[0x81, 1, b'1'], &[0x89, 0], &[0x81, 1, b'2']])).unwrap();
        assert_eq!(frames.len(), 2);
    }
}
