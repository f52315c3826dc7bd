#![allow(warnings)]
use super::network::Macro;
use super::op::tests::parse;
use super::train::{run, Hyper};
fn env(n: &str, d: f64) -> f64 { std::env::var(n).ok().map_or(d, |v| v.parse().unwrap()) }
pub(super) fn hyper() -> Hyper {
    Hyper {
        size: Macro { side: 8, inputs: 1, channels: env("C", 8.) as i64, cells: env("N", 1.) as usize, stages: env("S", 2.) as usize, classes: 10 },
        batch: env("B", 64.) as usize, epochs: env("E", 4.) as usize, rate: env("LR", 0.1), mu: env("MU", 0.9), decay: env("WD", 5e-4), bn: env("BN", 0.2), cl: env("CL", 1.) > 0., shift: env("SH", 0.) as i64, warm: env("WARM", 0.3),
    }
}
#[test]
fn lab() {
    tch::set_num_threads(1);
    let h = hyper();
    let kind = env("SPLIT", 0.) as i64;
    let period = env("PERIOD", 4.) as usize;
    let ntrain = env("NT", 2.) as usize;
    let data = super::digits::load(&|pos, k| match kind {
        0 => { let r = k % period; if r < ntrain { 0 } else { 1 + (k / period + r) % 2 } }
        1 => if pos < ntrain { 0 } else if pos < (env("SKIP", 0.) as usize).max(ntrain) {3} else { 1 + pos % 2 },
        _ => panic!(),
    });
    eprintln!("splits {:?}", [0, 1, 2].map(|i| data[i].labels.len()));
    let n = env("CELLS", 8.) as usize;
    let seeds = env("SEEDS", 2.) as u64;
    let mut times = vec![];
    if env("TIME", 0.) > 0. {
        for a in ["|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|", "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|", "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|nor_conv_1x1~0|nor_conv_1x1~1|nor_conv_1x1~2|", "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_3x3~2|", "|skip_connect~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|skip_connect~2|","|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"] {
            let r: Vec<_> = (0..7u64).map(|s| run(&parse(a), &h, &s.to_le_bytes(), &data)).collect();
            let m = |f: fn(&(f64,f64,f64,f64,f64)) -> f64| r.iter().map(f).fold(9e9, f64::min);
            println!("{} train {:.3} all {:.3} acc {:.3}", &a[..20], m(|x| x.3), m(|x| x.4), r.iter().map(|x| x.0).sum::<f64>() / 7.);
        }
    }
    let mut out = String::new();
    for line in std::fs::read_to_string("/tmp/cn/cells.csv").unwrap().lines().take(n) {
        let f: Vec<&str> = line.split(',').collect();
        let cell = parse(f[1]);
        for s in 0..seeds {
            let key = format!("{} {s}", f[0]);
            let (v, t, l, tr, all) = run(&cell, &h, key.as_bytes(), &data);
            times.push(all);
            out += &format!("{},{s},{v},{t},{l},{all},{}\n", f[0], f[2]);
        }
    }
    if let Ok(p) = std::env::var("OUT") { std::fs::write(p, out).unwrap(); }
    println!("mean {:.3} max {:.3}", times.iter().sum::<f64>() / times.len() as f64, times.iter().cloned().fold(0., f64::max));
}
