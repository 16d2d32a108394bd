//! Recognising what was heard: our prompts by normalised cross-correlation, tones by Goertzel's filter.
//!
//! Everything is 8 kHz mono. A prompt is looked for by its first second: coarsely at 1 kHz everywhere, then exactly
//! at 8 kHz where the coarse look was promising. The score does not depend on loudness.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

/// Samples in a second.
pub const RATE: usize = 8000;
/// One coarse sample stands for so many.
const STRIDE: usize = 8;
/// How much of a prompt is looked for.
const HEAD: usize = RATE;
/// What may be missing at the beginning of a recording that began within a prompt.
const PAD: usize = RATE * 3 / 10;
/// Score of a coarse match that deserves an exact look.
const COARSE: f32 = 0.5;
/// Score of a match. Different prompts of one voice reach 0.4; the same one through µ-law more than 0.95.
const MATCH: f32 = 0.7;
/// Score of half a prompt; another one has that half as well if it reaches [`ALIKE`], looked at coarsely.
const HALF: f32 = 0.85;
const ALIKE: f32 = 0.7;
/// Share of the power of 100 ms that makes it a tone.
const TONE: f32 = 0.5;

/// The prompts that can be recognised.
#[derive(Debug, Clone)]
pub struct Prompts(Vec<Prompt>);

#[derive(Debug, Clone)]
struct Prompt {
    name: String,
    exact: Vec<f32>,
    coarse: Vec<f32>,
    /// Coarsely, to its end.
    whole: Vec<f32>,
    /// Silence before the first sound, cut off.
    lead: usize,
}

/// A recognised prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// File name without `.wav`.
    pub prompt: String,
    /// From the beginning of the recording to the beginning of the prompt.
    pub start: Duration,
    /// 1 is perfect.
    pub score: f32,
}

impl Prompts {
    /// Loads every `*.wav` of a folder.
    ///
    /// # Errors
    /// When there is none, or one is not 8 kHz mono of 16 bits.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::load_heads(folder, HEAD)
    }

    /// The same, each by all of it, for prompts that begin alike: of those that are alike, the best match counts.
    ///
    /// # Errors
    /// When there is none, or one is not 8 kHz mono of 16 bits.
    pub fn load_whole(folder: &Path) -> Result<Self> {
        Self::load_heads(folder, usize::MAX)
    }

    fn load_heads(folder: &Path, head: usize) -> Result<Self> {
        let mut prompts = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("no prompts in {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wav") {
                let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                prompts.push(Prompt::new(name, &read_wav(&path)?, head));
            }
        }
        if prompts.is_empty() {
            bail!("no prompts in {}: expected *.wav", folder.display());
        }
        Ok(Self(prompts))
    }

    /// A set of one's own making.
    pub fn from_samples<'a>(prompts: impl IntoIterator<Item = (&'a str, &'a [i16])>) -> Self {
        Self(prompts.into_iter().map(|(name, samples)| Prompt::new(name.to_owned(), samples, HEAD)).collect())
    }

    /// Only the prompt of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn only(&self, name: &str) -> Result<Self> {
        self.among(&[name])
    }

    /// Only the prompts of these names.
    ///
    /// # Errors
    /// When one is not there.
    pub fn among(&self, names: &[&str]) -> Result<Self> {
        let find = |name: &&str| {
            let found = self.0.iter().find(|prompt| prompt.name == **name).cloned();
            found.with_context(|| format!("no prompt {name:?}; there are: {}", self.names().join(", ")))
        };
        names.iter().map(find).collect::<Result<_>>().map(Self)
    }

    /// All names.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|prompt| prompt.name.as_str()).collect()
    }

    /// How long the longest needs to be heard to be recognised.
    pub fn reach(&self) -> usize {
        self.0.iter().map(|prompt| prompt.exact.len() + prompt.lead).max().unwrap_or(0) + PAD
    }
}

impl Prompt {
    fn new(name: String, samples: &[i16], head: usize) -> Self {
        let loud = samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0) / 20;
        let lead = samples.iter().position(|s| s.unsigned_abs() > loud).unwrap_or(0);
        let exact: Vec<f32> = samples.iter().skip(lead).take(head).map(|s| f32::from(*s)).collect();
        let coarse = thin(&exact);
        let whole = thin(&samples.iter().map(|s| f32::from(*s)).collect::<Vec<_>>());
        Self { name, exact, coarse, whole, lead }
    }
}

/// A recording, to look for something in it.
struct Recording {
    exact: Vec<f32>,
    coarse: Vec<f32>,
}

impl Recording {
    /// [`PAD`] of silence, and what was recorded.
    fn new(samples: &[i16]) -> Self {
        let mut exact = vec![0.0; PAD];
        exact.extend(samples.iter().map(|s| f32::from(*s)));
        let coarse = thin(&exact);
        Self { exact, coarse }
    }

    /// Where this is, and how well it fits.
    fn find(&self, what: &[f32], coarse: &[f32], least: f32) -> Vec<(f32, usize)> {
        let promising = correlate(&self.coarse, coarse);
        let beside = |index: usize, offset: isize| {
            index.checked_add_signed(offset).and_then(|i| promising.get(i)).copied().unwrap_or(0.0)
        };
        let mut found = Vec::new();
        for (index, score) in promising.iter().enumerate() {
            if *score < COARSE || *score < beside(index, -1) || *score < beside(index, 1) {
                continue;
            }
            let first = (index * STRIDE).saturating_sub(STRIDE);
            let last = (index * STRIDE + STRIDE + what.len()).min(self.exact.len());
            let scores = correlate(self.exact.get(first..last).unwrap_or_default(), what);
            let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            if let Some((offset, score)) = best
                && *score >= least
            {
                found.push((*score, first + offset));
            }
        }
        found
    }
}

/// Which prompts a recording holds, in order.
pub fn heard(recording: &[i16], prompts: &Prompts) -> Vec<Heard> {
    let recording = Recording::new(recording);
    let mut found: Vec<(f32, usize, &Prompt)> = Vec::new();
    for prompt in &prompts.0 {
        let all = recording.find(&prompt.exact, &prompt.coarse, MATCH);
        found.extend(all.into_iter().map(|(score, start)| (score, start, prompt)));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut kept: Vec<(f32, usize, &Prompt)> = Vec::new();
    for (score, start, prompt) in found {
        let overlaps = |other: &(f32, usize, &Prompt)| {
            let begin = start.max(other.1);
            let end = (start + prompt.exact.len()).min(other.1 + other.2.exact.len());
            end.saturating_sub(begin) * 2 > prompt.exact.len().min(other.2.exact.len())
        };
        if !kept.iter().any(overlaps) {
            kept.push((score, start, prompt));
        }
    }
    kept.sort_by_key(|(_, start, _)| *start);
    kept.into_iter()
        .map(|(score, start, prompt)| Heard {
            prompt: prompt.name.clone(),
            start: span(start.saturating_sub(PAD + prompt.lead)),
            score,
        })
        .collect()
}

/// The prompt of that name of which half came through and the rest did not, as happens when an Asterisk is without a processor for
/// some tenths of a second: a half that no other of the prompts has, and so much of the recording behind it that the rest would be
/// there too. That is not asked for when nothing follows any more.
///
/// # Errors
/// When there is no such prompt.
pub fn heard_in_part(recording: &[i16], prompts: &Prompts, name: &str, nothing_follows: bool) -> Result<Option<Heard>> {
    let only = prompts.only(name)?;
    let Some(prompt) = only.0.first() else { return Ok(None) };
    let recording = Recording::new(recording);
    let middle = prompt.exact.len() / 2;
    for (offset, half) in [(0, prompt.exact.get(..middle)), (middle, prompt.exact.get(middle..))] {
        let half = half.unwrap_or_default();
        let coarse = thin(half);
        let found = recording
            .find(half, &coarse, HALF)
            .into_iter()
            .find(|(_, start)| nothing_follows || start + prompt.exact.len() - offset + PAD <= recording.exact.len());
        let is_like = |other: &Prompt| correlate(&other.whole, &coarse).into_iter().any(|score| score >= ALIKE);
        if let Some((score, start)) = found
            && !prompts.0.iter().any(|other| other.name != name && is_like(other))
        {
            let start = span(start.saturating_sub(offset + PAD + prompt.lead));
            return Ok(Some(Heard { prompt: prompt.name.clone(), start, score }));
        }
    }
    Ok(None)
}

/// How long so many samples last.
pub fn span(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / RATE as u64)
}

/// The longest time within the recording in which a tone of that frequency prevails.
pub fn tone(recording: &[i16], hertz: f32) -> Duration {
    let window = RATE / 10;
    let (mut longest, mut current) = (0, 0);
    for part in recording.chunks_exact(window) {
        current = if tone_share(part, hertz) > TONE { current + window } else { 0 };
        longest = longest.max(current);
    }
    span(longest)
}

/// What a recording holds, for a message: one word for each half second, the same ones in a row told once.
pub fn described(recording: &[i16]) -> String {
    let words = recording.chunks(RATE / 2).map(|part| {
        let crossings = part.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        let hertz = (crossings as f32 / 20.0 / span(part.len()).as_secs_f32()).round() * 10.0;
        match part {
            _ if is_silent(part) => "silence".to_owned(),
            _ if tone_share(part, hertz) > TONE => format!("{hertz} Hz"),
            _ => "sound".to_owned(),
        }
    });
    let mut told: Vec<(String, usize)> = Vec::new();
    for word in words {
        match told.last_mut() {
            Some((last, count)) if *last == word => *count += 1,
            _ => told.push((word, 1)),
        }
    }
    let told = told.into_iter().map(|(word, halves)| format!("{word} {:.1} s", halves as f32 / 2.0));
    format!("{:.2} s: [{}]", span(recording.len()).as_secs_f32(), told.collect::<Vec<_>>().join(", "))
}

/// Below this it is noise of the coding, not sound.
fn is_silent(part: &[i16]) -> bool {
    let power: f32 = part.iter().map(|sample| f32::from(*sample).powi(2)).sum();
    power < 100.0 * 100.0 * part.len() as f32
}

/// The share of the power that lies at the frequency (Goertzel).
fn tone_share(part: &[i16], hertz: f32) -> f32 {
    let omega = 2.0 * std::f32::consts::PI * hertz / RATE as f32;
    let factor = 2.0 * omega.cos();
    if is_silent(part) {
        return 0.0;
    }
    let (mut before, mut last, mut power) = (0.0f32, 0.0f32, 0.0f32);
    for sample in part.iter().map(|s| f32::from(*s)) {
        (before, last) = (last, sample + factor * last - before);
        power += sample * sample;
    }
    let at = before * before + last * last - factor * before * last;
    2.0 * at / (power * part.len() as f32)
}

/// Low-pass and every eighth sample.
fn thin(samples: &[f32]) -> Vec<f32> {
    let width = STRIDE * 3;
    let weight = |i: usize| 0.5 - 0.5 * (2.0 * std::f32::consts::PI * (i as f32 + 0.5) / width as f32).cos();
    let weights: Vec<f32> = (0..width).map(weight).collect();
    (0..samples.len().saturating_sub(width) / STRIDE + usize::from(samples.len() >= width))
        .map(|index| {
            let window = samples.get(index * STRIDE..index * STRIDE + width).unwrap_or_default();
            window.iter().zip(&weights).map(|(s, w)| s * w).sum()
        })
        .collect()
}

/// Normalised cross-correlation at every offset at which `what` lies wholly within `within`.
fn correlate(within: &[f32], what: &[f32]) -> Vec<f32> {
    if what.is_empty() || within.len() < what.len() {
        return Vec::new();
    }
    let own: f32 = what.iter().map(|s| s * s).sum();
    let floor = own * 1e-4;
    within
        .windows(what.len())
        .map(|window| {
            let (mut cross, mut power) = (0.0f32, 0.0f32);
            for (a, b) in window.iter().zip(what) {
                cross += a * b;
                power += a * a;
            }
            if power < floor { 0.0 } else { cross / (own * power).sqrt() }
        })
        .collect()
}

/// Reads a wave file of 8 kHz, mono, 16 bits.
///
/// # Errors
/// When it is anything else.
pub fn read_wav(path: &Path) -> Result<Vec<i16>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let wrong = || format!("{} is not a wave file of 8 kHz, mono, 16 bits", path.display());
    let mut rest = bytes.get(12..).with_context(wrong)?;
    let mut right_form = false;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let chunk = body.get(..length.min(body.len())).unwrap_or_default();
        match &head[..4] {
            b"fmt " => right_form = matches!(chunk, [1, 0, 1, 0, 0x40, 0x1f, 0, 0, _, _, _, _, _, _, 16, 0, ..]),
            b"data" if right_form => {
                return Ok(chunk.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect());
            }
            _ => {}
        }
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    bail!(wrong())
}

/// A pure tone, for a phone to play.
pub fn sine(hertz: f32, first: usize, count: usize) -> impl Iterator<Item = i16> {
    (first..first + count).map(move |n| {
        let phase = (n as f64 * f64::from(hertz) / RATE as f64).fract() * 2.0 * std::f64::consts::PI;
        (phase.sin() * 8000.0) as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sound like no other: noise of a fixed seed, smoothed so that most of it is low, like a voice.
    fn voice(seed: u32, count: usize) -> Vec<i16> {
        let mut state = seed;
        let mut low = 0.0f32;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low = low * 0.9 + ((state >> 16) as f32 - 32768.0) * 0.1;
                low as i16
            })
            .collect()
    }

    #[test]
    fn prompts_are_found_in_order_whatever_their_loudness_and_alignment() {
        let (a, b, c) = (voice(1, 9000), voice(2, 12000), voice(3, 7000));
        let prompts = Prompts::from_samples([("a", &a[..]), ("b", &b[..]), ("c", &c[..])]);
        let mut recording = vec![0; 1237];
        recording.extend(b.iter().map(|s| s / 3));
        recording.extend([0; 501]);
        recording.extend(&a);
        let heard = heard(&recording, &prompts);
        let names: Vec<_> = heard.iter().map(|h| h.prompt.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert!(heard[0].start.abs_diff(span(1237)) < Duration::from_millis(2), "{heard:?}");
    }

    #[test]
    fn a_prompt_whose_beginning_was_missed_is_found() {
        let a = voice(1, 9000);
        let prompts = Prompts::from_samples([("a", &a[..])]);
        assert_eq!(heard(&a[800..], &prompts).len(), 1);
    }

    #[test]
    fn a_prompt_of_which_only_half_came_through_is_found_by_a_half_that_is_its_own() {
        let (a, b) = (voice(1, 9000), voice(2, 9000));
        let like_a: Vec<_> = a[..6000].iter().chain(&b[..3000]).copied().collect();
        let prompts = Prompts::from_samples([("a", &a[..]), ("b", &b[..]), ("like a", &like_a[..])]);
        let torn = |from: usize, to: usize| {
            let recording = [&vec![0; 3000][..], &a[from..to], &vec![0; 9000][..]].concat();
            assert_eq!(heard(&recording, &prompts.only("a").unwrap()), []);
            heard_in_part(&recording, &prompts, "a", false).unwrap().map(|heard| heard.start)
        };
        let second = torn(4500, 9000).expect("the second half is a's own");
        assert_eq!(second.as_millis(), 0, "it began before the recording");
        assert_eq!(torn(0, 3800), None, "the first half is another's too");
        let ends: Vec<_> = [&vec![0; 3000][..], &a[4500..8100]].concat();
        assert!(heard_in_part(&ends, &prompts, "a", true).unwrap().is_some());
        assert!(heard_in_part(&ends, &prompts, "a", false).unwrap().is_none(), "the rest may follow");
        assert!(heard_in_part(&b, &prompts, "a", true).unwrap().is_none());
    }

    #[test]
    fn silence_and_tones_are_no_prompts() {
        let a = voice(1, 9000);
        let prompts = Prompts::from_samples([("a", &a[..])]);
        assert_eq!(heard(&vec![0; 20000], &prompts), []);
        assert_eq!(heard(&sine(700.0, 0, 20000).collect::<Vec<_>>(), &prompts), []);
    }

    #[test]
    fn what_was_heard_is_told_in_words() {
        let recording: Vec<_> = [0; 8000].into_iter().chain(sine(700.0, 0, 4000)).chain(voice(1, 8000)).collect();
        assert_eq!(described(&recording), "2.50 s: [silence 1.0 s, 700 Hz 0.5 s, sound 1.0 s]");
        assert_eq!(described(&[]), "0.00 s: []");
    }

    #[test]
    fn a_tone_is_told_from_another() {
        let recording: Vec<_> = [0; 400].into_iter().chain(sine(700.0, 0, 8000)).collect();
        assert!(tone(&recording, 700.0) >= Duration::from_millis(800));
        assert_eq!(tone(&recording, 1100.0), Duration::ZERO);
        assert_eq!(tone(&voice(5, 8000), 700.0), Duration::ZERO);
    }
}
