//! network

use super::op::{CellOp, EDGES, NODES, live};
use reprise_search::rng::Stream;
use tch::{Kind, Tensor};

#[derive(Debug, Clone, Copy)]
pub(super) struct Macro {
    pub(super) side: i64,
    pub(super) inputs: i64,
    pub(super) channels: i64,
    pub(super) cells: usize,
    pub(super) stages: usize,
    pub(super) classes: i64,
}

#[derive(Debug, Clone, Copy)]
struct Norm {
    scale: usize,
    shift: usize,
    stats: usize,
}

#[derive(Debug, Clone, Copy)]
struct Conv {
    weight: usize,
    stride: i64,
    padding: i64,
}

#[derive(Debug, Clone, Copy)]
struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

#[derive(Debug)]
struct Cell {
    ops: [CellOp; 6],
    layers: [Option<ConvNorm>; 6],
}

#[derive(Debug)]
struct Stage {
    reduction: Option<Reduction>,
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Reduction {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Conv,
}

#[derive(Debug)]
pub(super) struct Network {
    stem: ConvNorm,
    stages: Vec<Stage>,
    last: Norm,
    weight: usize,
    bias: usize,
    pub(super) flat: Tensor,
    velocity: Tensor,
    shapes: Vec<Vec<i64>>,
    sizes: Vec<i64>,
    stats: Vec<(Tensor, Tensor)>,
    pub(super) momentum: f64,
    cl: bool,
    pool: i32,
    pools: [Tensor; 2],
}

struct Builder<'a> {
    key: &'a [u8],
    values: Vec<f32>,
    shapes: Vec<Vec<i64>>,
    stats: Vec<(Tensor, Tensor)>,
}

impl Builder<'_> {
    fn push(&mut self, shape: &[i64], mut draw: impl FnMut() -> f32) -> usize {
        let n: i64 = shape.iter().product();
        self.values.extend((0..n).map(|_| draw()));
        self.shapes.push(shape.to_vec());
        self.shapes.len() - 1
    }
    fn uniform(&mut self, name: &str, shape: &[i64], fan_in: i64) -> usize {
        let mut s = Stream::new(self.key, name, 0);
        let b = 1.0 / (fan_in as f64).sqrt();
        self.push(shape, || ((2.0 * s.uniform() - 1.0) * b) as f32)
    }
    fn conv(&mut self, name: &str, i: i64, o: i64, k: i64, stride: i64) -> Conv {
        Conv {
            weight: self.uniform(name, &[o, i, k, k], i * k * k),
            stride,
            padding: k / 2,
        }
    }
    fn norm(&mut self, c: i64) -> Norm {
        let scale = self.push(&[c], || 1.0);
        let shift = self.push(&[c], || 0.0);
        let o = (Kind::Float, tch::Device::Cpu);
        self.stats.push((Tensor::zeros([c], o), Tensor::ones([c], o)));
        Norm { scale, shift, stats: self.stats.len() - 1 }
    }
    fn conv_norm(&mut self, name: &str, i: i64, o: i64, k: i64, stride: i64) -> ConvNorm {
        ConvNorm { conv: self.conv(name, i, o, k, stride), norm: self.norm(o) }
    }
}

impl Network {
    pub(super) fn new(cell: &[CellOp; 6], size: &Macro, key: &[u8], momentum: f64, cl: bool) -> Self {
        let ops = live(cell);
        let mut b = Builder { key, values: vec![], shapes: vec![], stats: vec![] };
        let mut c = size.channels;
        let stem = b.conv_norm("stem", size.inputs, c, 3, 1);
        let mut stages = vec![];
        for s in 0..size.stages {
            let reduction = (s > 0).then(|| {
                let r = Reduction {
                    first: b.conv_norm(&format!("r{s}a"), c, 2 * c, 3, 2),
                    second: b.conv_norm(&format!("r{s}b"), 2 * c, 2 * c, 3, 1),
                    shortcut: b.conv(&format!("r{s}s"), c, 2 * c, 1, 1),
                };
                c *= 2;
                r
            });
            let cells = (0..size.cells)
                .map(|n| Cell {
                    ops,
                    layers: std::array::from_fn(|e| {
                        ops[e].kernel().map(|k| b.conv_norm(&format!("s{s}c{n}e{e}"), c, c, k, 1))
                    }),
                })
                .collect();
            stages.push(Stage { reduction, cells });
        }
        let last = b.norm(c);
        let weight = b.uniform("cw", &[size.classes, c], c);
        let bias = b.uniform("cb", &[size.classes], c);
        let flat = Tensor::from_slice(&b.values).set_requires_grad(true);
        Self {
            stem,
            stages,
            last,
            weight,
            bias,
            velocity: Tensor::from_slice(&vec![0f32; b.values.len()]),
            flat,
            sizes: b.shapes.iter().map(|s| s.iter().product()).collect(),
            shapes: b.shapes,
            stats: b.stats,
            momentum,
            cl,
            pool: std::env::var("POOL").map_or(1, |v| v.parse().unwrap()),
            pools: [pool_matrix(8), pool_matrix(4)],
        }
    }

    fn views(&self) -> Vec<Tensor> {
        self.flat
            .split_with_sizes(&self.sizes, 0)
            .into_iter()
            .zip(&self.shapes)
            .map(|(v, s)| {
                if self.cl && s.len() == 4 {
                    v.view([s[0], s[2], s[3], s[1]]).permute([0, 3, 1, 2])
                } else {
                    v.view(s.as_slice())
                }
            })
            .collect()
    }

    fn bn(&self, w: &[Tensor], n: Norm, x: &Tensor, train: bool) -> Tensor {
        let (m, v) = &self.stats[n.stats];
        x.batch_norm(Some(&w[n.scale]), Some(&w[n.shift]), Some(m), Some(v), train, self.momentum, 1e-5, false)
    }
    fn conv(w: &[Tensor], c: Conv, x: &Tensor) -> Tensor {
        x.conv2d(&w[c.weight], None::<&Tensor>, c.stride, c.padding, 1, 1)
    }
    fn cn(&self, w: &[Tensor], c: ConvNorm, x: &Tensor, train: bool) -> Tensor {
        self.bn(w, c.norm, &Self::conv(w, c.conv, x), train)
    }

    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let w = self.views();
        let mut x = self.cn(&w, self.stem, x, train);
        for stage in &self.stages {
            if let Some(r) = &stage.reduction {
                let y = self.cn(&w, r.first, &x.relu(), train);
                let y = self.cn(&w, r.second, &y.relu(), train);
                let s = x.avg_pool2d(2, 2, 0, false, true, None);
                x = y + Self::conv(&w, r.shortcut, &s);
            }
            for cell in &stage.cells {
                x = self.cell(&w, cell, x, train);
            }
        }
        let x = self.bn(&w, self.last, &x, train).relu().mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        x.linear(&w[self.weight], Some(&w[self.bias]))
    }

    fn cell(&self, w: &[Tensor], cell: &Cell, x: Tensor, train: bool) -> Tensor {
        let mut nodes: [Option<Tensor>; NODES] = [Some(x), None, None, None];
        let mut relu: [Option<Tensor>; NODES] = [None, None, None, None];
        for (e, (s, t)) in EDGES.into_iter().enumerate() {
            let op = cell.ops[e];
            if op == CellOp::None {
                continue;
            }
            let input = nodes[s].as_ref().unwrap();
            let y = match op {
                CellOp::SkipConnect => input.shallow_clone(),
                CellOp::AvgPool3x3 if self.pool == 0 => input.avg_pool2d(3, 1, 1, false, false, None),
                CellOp::AvgPool3x3 => {
                    let size = input.size();
                    let area = size[2] * size[3];
                    let p = &self.pools[if size[2] == 8 { 0 } else { 1 }];
                    if self.cl {
                        p.matmul(&input.permute([0, 2, 3, 1]).view([size[0], area, size[1]])).view([size[0], size[2], size[3], size[1]]).permute([0, 3, 1, 2])
                    } else {
                        input.view([-1, area]).matmul(&p.tr()).view(size.as_slice())
                    }
                }
                _ => {
                    let r = relu[s].get_or_insert_with(|| input.relu());
                    self.cn(w, cell.layers[e].unwrap(), r, train)
                }
            };
            nodes[t] = Some(match nodes[t].take() {
                None => y,
                Some(sum) => sum + y,
            });
        }
        let [input, _, _, out] = nodes;
        out.unwrap_or_else(|| input.unwrap().zeros_like())
    }

    pub(super) fn step(&mut self, rate: f64, mu: f64, decay: f64) {
        tch::no_grad(|| {
            let g = self.flat.grad() + decay * &self.flat;
            let _ = self.velocity.g_mul_scalar_(mu);
            let _ = self.velocity.g_add_(&g);
            // Nesterov
            let _ = self.flat.g_sub_(&((g + mu * &self.velocity) * rate));
            self.flat.zero_grad();
        });
    }
}

fn pool_matrix(side: i64) -> Tensor {
    let area = side * side;
    let mut m = vec![0f32; (area * area) as usize];
    for y in 0..side { for x in 0..side {
        let near: Vec<i64> = (y - 1..=y + 1).flat_map(|a| (x - 1..=x + 1).map(move |b| (a, b))).filter(|(a, b)| (0..side).contains(a) && (0..side).contains(b)).map(|(a, b)| a * side + b).collect();
        for n in &near { m[((y * side + x) * area + n) as usize] = 1.0 / near.len() as f32; }
    }}
    Tensor::from_slice(&m).view([area, area])
}
