//! MD5 of several texts of one length at once (RFC 1321), each operation on all
//! of them side by side, which the compiler turns into vector instructions.
//!
//! Hashing all of NAS-Bench-101 takes 60 million blocks, and a step of MD5 waits
//! for the one before it: one text at a time leaves most of a core idle. Not for
//! anything that must withstand an attacker.

/// A word of each text.
type Lanes<const L: usize> = [u32; L];

/// Bytes of a block.
const BLOCK: usize = 64;

/// Left rotations of the four steps that repeat within each round.
const ROTATIONS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

/// The first 32 fractional bits of |sin(i)| for i from 1.
#[rustfmt::skip]
const SINES: [[u32; 16]; 4] = [
    [0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
     0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821],
    [0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
     0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a],
    [0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
     0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665],
    [0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
     0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391],
];

/// The digest of each text. The texts are padded in place.
///
/// # Panics
/// If the texts differ in length.
pub(super) fn digests<const L: usize>(texts: &mut [Vec<u8>; L]) -> [[u8; 16]; L] {
    let length = texts[0].len();
    for text in texts.iter_mut() {
        assert_eq!(text.len(), length, "texts hashed together have one length");
        text.push(0x80);
        let padded = (text.len() + size_of::<u64>()).next_multiple_of(BLOCK);
        text.resize(padded - size_of::<u64>(), 0);
        text.extend_from_slice(&(8 * length as u64).to_le_bytes());
    }
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476].map(|word| [word; L]);
    for start in (0..texts[0].len()).step_by(BLOCK) {
        let mut block = [[0; L]; 16];
        for (lane, text) in texts.iter().enumerate() {
            let (words, _) = text[start..start + BLOCK].as_chunks::<4>();
            for (slot, &word) in block.iter_mut().zip(words) {
                slot[lane] = u32::from_le_bytes(word);
            }
        }
        compress(&mut state, &block);
    }
    std::array::from_fn(|lane| {
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(&state) {
            bytes.copy_from_slice(&word[lane].to_le_bytes());
        }
        digest
    })
}

fn compress<const L: usize>(state: &mut [Lanes<L>; 4], block: &[Lanes<L>; 16]) {
    let start = *state;
    round::<0, L>(state, block, |b, c, d| d ^ (b & (c ^ d)), |i| i);
    round::<1, L>(state, block, |b, c, d| c ^ (d & (b ^ c)), |i| 5 * i + 1);
    round::<2, L>(state, block, |b, c, d| b ^ c ^ d, |i| 3 * i + 5);
    round::<3, L>(state, block, |b, c, d| c ^ (b | !d), |i| 7 * i);
    for (word, start) in state.iter_mut().zip(&start) {
        *word = std::array::from_fn(|lane| word[lane].wrapping_add(start[lane]));
    }
}

/// Sixteen steps; `position` gives the word of the block that a step takes.
#[expect(
    clippy::inline_always,
    reason = "as a call it is not vectorised, and hashing the space takes 16 s instead of 6 s"
)]
#[inline(always)]
fn round<const ROUND: usize, const L: usize>(
    state: &mut [Lanes<L>; 4],
    block: &[Lanes<L>; 16],
    mix: impl Fn(u32, u32, u32) -> u32,
    position: impl Fn(usize) -> usize,
) {
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..16 {
        let word = &block[position(step) % 16];
        // Written as a loop over the lanes: that is the form the compiler
        // vectorises.
        let mut next = [0; L];
        for lane in 0..L {
            next[lane] = a[lane]
                .wrapping_add(mix(b[lane], c[lane], d[lane]))
                .wrapping_add(SINES[ROUND][step])
                .wrapping_add(word[lane])
                .rotate_left(ROTATIONS[ROUND][step % 4])
                .wrapping_add(b[lane]);
        }
        (a, d, c, b) = (d, c, b, next);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_lane_agrees_with_the_reference_implementation(
            seed: [u8; 4], length in 0_usize..400,
        ) {
            let texts = seed.map(|first| -> Vec<u8> {
                (0..length).map(|i| first.wrapping_add((i * i) as u8)).collect()
            });
            let expected: [[u8; 16]; 4] = texts.clone().map(|text| Md5::digest(text).into());
            prop_assert_eq!(digests(&mut texts.clone()), expected);
            prop_assert_eq!(digests(&mut [texts[2].clone()]), [expected[2]]);
        }
    }
}
