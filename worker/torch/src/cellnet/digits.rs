//! digits

/// Images of one split.
#[derive(Debug)]
pub(super) struct Split {
    /// `[images, 64]`
    pub(super) pixels: Vec<f32>,
    pub(super) labels: Vec<i64>,
}

static CSV: &[u8] = include_bytes!("digits/digits.csv");

pub(super) fn load(rule: &dyn Fn(usize, usize) -> usize) -> [Split; 3] {
    let mut splits = [(); 3].map(|()| Split { pixels: vec![], labels: vec![] });
    let mut count = [0usize; 10];
    for (position, line) in std::str::from_utf8(CSV).unwrap().lines().enumerate() {
        let numbers: Vec<u8> = line.split(',').map(|n| n.parse().unwrap()).collect();
        let label = numbers[64] as usize;
        let k = count[label];
        count[label] += 1;
        let which = rule(position, k);
        if which < 3 {
            splits[which].pixels.extend(numbers[..64].iter().map(|&p| f32::from(p) / 16.0));
            splits[which].labels.push(label as i64);
        }
    }
    splits
}
