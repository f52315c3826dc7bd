use std::time::{Instant, Duration};
use reprise_search::{embedding::Embedding, rng::Stream, surrogate::{evidence::*, mlp::*, model::Surrogate, posterior::*, acquisition::*}};
fn best(mut f: impl FnMut()) -> Duration { (0..15).map(|_| { let t = Instant::now(); f(); t.elapsed() }).min().unwrap() }
fn main() {
    let mut rng = Stream::new(b"p", "x", 0);
    let table: Vec<f32> = (0..15625 * 16).map(|_| rng.normal() as f32).collect();
    let emb = Embedding::new(table.clone(), 16).unwrap();
    for n in [20usize, 60, 106, 200] {
        let x = table[..n * 16].to_vec();
        let y: Vec<f32> = (0..n).map(|i| 0.9 + 0.05 * (x[i * 16]).sin()).collect();
        let mut net = Mlp::new(16, &mut rng);
        let t = best(|| { net = Mlp::new(16, &mut rng); net.train(&x, &y, 100, &mut rng); });
        println!("n {n} train {t:?} = {:.2} us a step", t.as_secs_f64() * 1e6 / (100 * (n / 10)) as f64);
        let mut basis = vec![[0.0; 16]; n * PANELS];
        net.basis(&x, &mut basis);
        println!("  evidence prep {:?}", best(|| drop(Evidence::new(&basis, &y, Likelihood::Defective(Precision::Double)))));
        let mut ev = Evidence::new(&basis, &y, Likelihood::Defective(Precision::Double));
        let mut h = [0.0; 2];
        println!("  maximise {:?}", best(|| h = ev.maximise([0.3, -3.0])));
        println!("  posterior {:?}", best(|| drop(Posterior::new(&basis, &y, h))));
        let p = Posterior::new(&basis, &y, h).unwrap();
        let mut b = vec![[0.0f32; 16]; 32 * PANELS];
        println!("  basis {:?}", best(|| for r in table.chunks_exact(32 * 16) { net.basis(r, &mut b); }));
        let mut out = vec![Prediction::default(); 32];
        println!("  predict {:?}", best(|| for _ in table.chunks_exact(32 * 16) { p.predict(&b, &mut out); }));
    }
    let mut i = Stream::new(b"a", "i", 0); let mut s = Stream::new(b"a", "s", 0);
    let m = Surrogate::train(&table[..60*16], &vec![0.9; 60], 100, Likelihood::Exact, &mut i, &mut s).unwrap();
    let mut out = Vec::new();
    println!("whole predict {:?}", best(|| m.predict(&emb, &mut out)));
    let ei = ExpectedImprovement { target: 0.95, uses_variance: true };
    println!("ei {:?}", best(|| drop(largest(out.iter().map(|p| ei.value(*p)), 1))));
}
