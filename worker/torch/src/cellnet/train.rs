//! train
use super::digits::Split;
use super::network::{Macro, Network};
use super::op::CellOp;
use reprise_search::rng::Stream;
use tch::{Kind, Tensor};

#[derive(Debug, Clone, Copy)]
pub(super) struct Hyper {
    pub(super) size: Macro,
    pub(super) batch: usize,
    pub(super) epochs: usize,
    pub(super) rate: f64,
    pub(super) mu: f64,
    pub(super) decay: f64,
    pub(super) bn: f64,
    pub(super) cl: bool,
    pub(super) shift: i64,
    pub(super) warm: f64,
}

fn tensor(split: &Split, rows: &[u32], shifts: Option<(i64, &mut Stream)>) -> (Tensor, Tensor) {
    let mut px = Vec::with_capacity(rows.len() * 64);
    let mut sh = shifts;
    for &r in rows {
        let img = &split.pixels[r as usize * 64..][..64];
        match &mut sh {
            Some((m, s)) if *m > 0 => {
                let b = (2 * *m + 1) as u64;
                let dy = s.below(b) as i64 - *m;
                let dx = s.below(b) as i64 - *m;
                for y in 0..8 {
                    for x in 0..8 {
                        let (a, c) = (y + dy, x + dx);
                        px.push(if (0..8).contains(&a) && (0..8).contains(&c) { img[(a * 8 + c) as usize] } else { 0.0 });
                    }
                }
            }
            _ => px.extend_from_slice(img),
        }
    }
    let labels: Vec<i64> = rows.iter().map(|&r| split.labels[r as usize]).collect();
    (Tensor::from_slice(&px).view([rows.len() as i64, 1, 8, 8]), Tensor::from_slice(&labels))
}

pub(super) fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap() * 1e-9
}

pub(super) fn run(cell: &[CellOp; 6], h: &Hyper, key: &[u8], data: &[Split; 3]) -> (f64, f64, f64, f64, f64) {
    let t0 = cpu();
    let mut net = Network::new(cell, &h.size, key, h.bn, h.cl);
    let n = data[0].labels.len();
    let per = n / h.batch;
    let total = per * h.epochs;
    let mut step = 0;
    let mut shifts = Stream::new(key, "shift", 0);
    let mut last = 0.0;
    for epoch in 0..h.epochs {
        let order = Stream::new(key, "order", epoch as u64).permutation(n);
        for rows in order.chunks_exact(h.batch) {
            let (x, y) = tensor(&data[0], rows, Some((h.shift, &mut shifts)));
            let loss = net.forward(&x, true).cross_entropy_for_logits(&y);
            loss.backward();
            let p = (step as f64 + 0.5) / total as f64;
            let f = if p < h.warm { p / h.warm } else { (1.0 - p) / (1.0 - h.warm) };
            net.step(h.rate * f, h.mu, h.decay);
            if step + 1 == total { last = loss.double_value(&[]); }
            step += 1;
        }
    }
    let trained = (cpu() - t0);
    let acc = tch::no_grad(|| [1, 2].map(|i| {
        let rows: Vec<u32> = (0..data[i].labels.len() as u32).collect();
        let (x, y) = tensor(&data[i], &rows, None);
        let right = net.forward(&x, false).argmax(1, false).eq_tensor(&y).sum(Kind::Int64).int64_value(&[]);
        right as f64 / rows.len() as f64
    }));
    (acc[0], acc[1], last, trained, (cpu() - t0))
}
