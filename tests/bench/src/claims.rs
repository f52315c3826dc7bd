//! What is claimed about each profile, and the kinds of work that it is told by.

use crate::perf::{Place, Samples};
use crate::symbols::Named;

/// A kind of work and the functions that do it. A function counts to the first kind
/// that takes it.
type Kind = (&'static str, fn(&Named, &Place) -> bool);

/// What bounds a piece of work.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The work.
    pub(crate) title: &'static str,
    /// What bounds it and why; the numbers beside it are measured.
    pub(crate) text: &'static str,
    kinds: &'static [Kind],
}

/// Training.
pub(crate) const PRETRAINING: Claim = Claim {
    title: "Pretraining, eight epochs at batch 32",
    text: "Bounded by arithmetic. Nearly all of it is the products with the weights of the \
           linear maps, forward, and backward to inputs and weights; everything else passes \
           once over what a product has just written. Only a faster product would make it \
           much faster; RESULTS.md has its share of the machine's. What libtorch takes is \
           its loading: it computes nothing here.",
    kinds: NETWORK,
};

/// Embedding.
pub(crate) const EMBEDDING: Claim = Claim {
    title: "Embedding all of NAS-Bench-101",
    text: "Bounded by arithmetic even more: the same products, forward alone. Normalisation by \
           fixed statistics is part of storing a product, and nothing is kept for a backward \
           pass.",
    kinds: NETWORK,
};

/// BO on a small table.
pub(crate) const BO_SMALL: Claim = Claim {
    title: "arch2vec-BO, 20,000 embeddings",
    text: "Bounded by training: each of the 150 rounds trains a new network on everything that \
           was bought so far, which a larger table does not make longer. The batches are of \
           ten rows, so that the steps are short and Adam's pass over the weights counts.",
    kinds: BO,
};

/// BO on the whole space.
pub(crate) const BO_LARGE: Claim = Claim {
    title: "arch2vec-BO, 423,624 embeddings",
    text: "Bounded by the rows of the table that a round has to look at: the network's basis of \
           each, and the projections that bound its variance from above. Rows that the bound \
           rules out are never predicted, and of rows that coincide one is looked at.",
    kinds: BO,
};

/// No-op tasks in the coordinator.
pub(crate) const COORDINATOR: Claim = Claim {
    title: "200,000 no-op tasks, the coordinator",
    text: "Bounded by the journal: no result is acknowledged before it is on the disk. Most of \
           the processor time is SQLite's and the kernel's for its files: pages go into the \
           write-ahead log, and from there, read back, into the database. Most of the rest \
           of the time is waiting for syncs, as `perf trace -e fsync` shows; results that \
           come in during one share the next.",
    kinds: MESSAGES,
};

/// No-op tasks in the worker.
pub(crate) const WORKER: Claim = Claim {
    title: "200,000 no-op tasks, the worker",
    text: "Bounded by the coordinator: it waits most of the time. What it does is pass \
           messages on, from the connection to a slot and back, and the largest part of that \
           is going to sleep and being woken.",
    kinds: MESSAGES,
};

const NETWORK: &[Kind] = &[
    ("matrix products", |named, _| {
        has(named, &["native::gemm::multiply"])
    }),
    ("packing for them", |named, _| has(named, &["gemm::Packed"])),
    ("normalisation", |named, _| has(named, &["native::norm"])),
    ("sums over neighbours", |named, _| {
        has(named, &["native::graph"])
    }),
    ("loss", |named, _| has(named, &["native::loss"])),
    ("other passes over entries", |named, place| {
        let passes = ["native::vector", "native::stage", "native::random"];
        has(named, &passes) || *place == Place::Libc
    }),
    ("Adam", |named, _| has(named, &["native::adam"])),
    ("loading libtorch", |_, place| {
        matches!(place, Place::Library(_))
    }),
];

const BO: &[Kind] = &[
    ("training the network", |named, _| {
        let rest = ["Surrogate::train", "Stream::shuffle", "rand_chacha"];
        has(named, &["mlp::step", "mlp::gather"]) || has(named, &rest)
    }),
    ("evidence and eigenvalues", |named, _| {
        has(named, &["evidence", "eigen", "linalg", "nelder_mead"])
    }),
    ("bases and projections of rows", |named, _| {
        has(named, &["mlp::basis", "surrogate::columns"])
    }),
    ("bounds", |named, _| {
        let rest = ["kernel::dot", "acquisition", "choice"];
        has(named, &["::screen", "::gate"]) || has(named, &rest)
    }),
    ("predictions", |named, _| {
        has(named, &["posterior::predict"])
    }),
    ("loading libtorch", |_, place| {
        matches!(place, Place::Library(_))
    }),
];

const MESSAGES: &[Kind] = &[
    ("writing the journal's files", |named, place| {
        *place == Place::Kernel && within(named, &["pwrite64", "ftruncate"])
    }),
    ("reading them back", |named, place| {
        *place == Place::Kernel && within(named, &["pread64"])
    }),
    ("syncing them", |named, place| {
        *place == Place::Kernel && within(named, &["fsync", "fdatasync"])
    }),
    ("SQLite", |named, place| {
        // C has no modules; the hash is the other C that the programs have.
        *place == Place::Program && !named.name.contains("::") && !has(named, &["blake3"])
    }),
    ("connections", |named, place| {
        let calls = ["writev", "sendto", "sendmsg", "recvfrom", "recvmsg"];
        *place == Place::Kernel && within(named, &calls)
    }),
    ("waiting and waking", |named, place| {
        let calls = ["futex", "epoll_wait", "epoll_pwait", "write"];
        let switched = named.part.is_none() || within(named, &calls);
        *place == Place::Kernel && switched
    }),
    ("memory", |_, place| *place == Place::Libc),
    ("HTTP/2 and gRPC", |named, _| {
        let frames = ["h2::", "hyper::", "http::", "http_body"];
        has(named, &["tonic", "prost", "tower", "bytes::"]) || has(named, &frames)
    }),
    ("JSON", |named, _| has(named, &["serde"])),
    ("Reprise's own", |named, _| has(named, &["reprise_"])),
];

/// Shares of the kinds of work, and of the rest.
pub(crate) fn kinds(claim: &Claim, samples: &Samples) -> Vec<(&'static str, f64)> {
    let first = |named: &Named, place: &Place| {
        let mut kinds = claim.kinds.iter();
        kinds.position(|(_, holds)| holds(named, place))
    };
    let shares = claim.kinds.iter().enumerate();
    let mut shares: Vec<_> = shares
        .map(|(number, (what, _))| {
            let of_it = |named: &Named, place: &Place| first(named, place) == Some(number);
            (*what, samples.share(of_it))
        })
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rest = samples.share(|named, place| first(named, place).is_none());
    shares.push(("the rest", rest));
    shares
}

/// Whether a function's name has one of these words.
fn has(named: &Named, words: &[&str]) -> bool {
    words.iter().any(|word| named.name.contains(word))
}

/// Whether the kernel ran one of these system calls.
fn within(named: &Named, calls: &[&str]) -> bool {
    named
        .part
        .as_deref()
        .is_some_and(|part| calls.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_counts_to_one_kind() {
        let named = |name: &str, part: Option<&str>| Named {
            name: name.to_owned(),
            part: part.map(str::to_owned),
        };
        let samples = Samples {
            functions: vec![
                (named("ext4_write", Some("pwrite64")), Place::Kernel, 4),
                (named("walChecksumBytes", None), Place::Program, 3),
                (
                    named("serde_json::from_str<reprise_domain::Task>", None),
                    Place::Program,
                    2,
                ),
                (named("std::now", None), Place::Program, 1),
            ],
        };
        let shares = kinds(&COORDINATOR, &samples);
        let share = |what: &str| shares.iter().find(|(name, _)| *name == what).unwrap().1;
        for (what, expected) in [
            ("writing the journal's files", 0.4),
            ("SQLite", 0.3),
            ("JSON", 0.2),
            ("Reprise's own", 0.0),
            ("the rest", 0.1),
        ] {
            assert!((share(what) - expected).abs() < 1e-12, "{what}");
        }
    }
}
