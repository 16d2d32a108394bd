//! Chance inside the machine: from a seed, so that the same events make the same choices.

/// A generator (SplitMix64; Steele, Lea, Flood 2014): small, and a good spread from any seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// One for that seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..faces`; 0 when there are none.
    pub fn below(&mut self, faces: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let thrown = z ^ (z >> 31);
        // The remainder is below `faces`, and so fits.
        u64::try_from(faces)
            .ok()
            .and_then(|faces| thrown.checked_rem(faces))
            .map_or(0, |rest| usize::try_from(rest).unwrap_or(0))
    }
}
