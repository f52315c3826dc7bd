//! Tests of the restricted reader: what it reads, what it refuses, and that no
//! input makes it panic or leave its bounds.

use std::path::PathBuf;

use proptest::prelude::*;
use reprise_skip::{Lack, skip};

use super::*;
use crate::bytes::bunzip2;

const NUMPY: [Global; 3] = [
    Global::ORDERED_DICT,
    Global {
        module: "numpy.core.multiarray",
        name: "scalar",
    },
    Global {
        module: "numpy",
        name: "dtype",
    },
];

fn refused(bytes: &[u8]) -> PickleError {
    read(bytes, &NUMPY, &Limits::DEFAULT).unwrap_err()
}

/// A published file, or nothing where the samples are not at hand.
pub(crate) fn sample(name: &str) -> Option<Vec<u8>> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/nats-tss-samples/NATS-tss-v1_0-3ffb9-simple"
    );
    let path = PathBuf::from(folder).join(format!("{name}.pickle.pbz2"));
    let Ok(packed) = std::fs::read(&path) else {
        skip(Lack::Data, &format!("`{}` is not there", path.display())).unwrap();
        return None;
    };
    Some(bunzip2(&packed, Limits::DEFAULT.bytes as u64).unwrap())
}

/// Copies of `bytes`, each with a few bytes changed and half of them cut. The
/// damage is a fixed linear congruential sequence: the same in every run.
pub(crate) fn damaged(bytes: &[u8], count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 1_u64;
    let mut draw = move |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    (0..count).map(move |_| {
        let mut damaged = bytes.to_vec();
        for _ in 0..=draw(8) {
            let position = draw(damaged.len());
            damaged[position] = draw(256) as u8;
        }
        damaged.truncate(damaged.len() - draw(2) * draw(bytes.len()));
        damaged
    })
}

#[test]
fn plain_data_reads_as_written() {
    // pickle.dumps({"a": [1, -2, 2.5, None, True], "b": (b"xy", 300, -1 << 40)}, 4)
    let bytes = b"\x80\x04\x955\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xff\
        G@\x04\0\0\0\0\0\0N\x88e\x8c\x01b\x94C\x02xy\x94M,\x01\x8a\x06\0\0\0\0\0\
        \xff\x87\x94u.";
    let pickle = read(bytes, &[], &Limits::DEFAULT).unwrap();
    assert_eq!(pickle.consumed(), bytes.len());
    let root = pickle.root();
    let list: Vec<Value<'_>> = root.get("a").unwrap().items().unwrap().collect();
    assert_eq!(list[0].as_int(), Some(1));
    assert_eq!(list[1].as_int(), Some(-2));
    assert_eq!(list[2].as_float(), Some(2.5));
    assert!(list[3].is_none());
    assert_eq!(list[4].as_bool(), Some(true));
    let [text, small, large] = root.get("b").unwrap().tuple().unwrap();
    assert_eq!(text.as_bytes(), Some(b"xy".as_slice()));
    assert_eq!(small.as_int(), Some(300));
    assert_eq!(large.as_int(), Some(-(1 << 40)));
    assert!(root.get("c").is_none() && root.as_text().is_none());
}

#[test]
fn code_is_refused_by_name_and_offset() {
    // The classical `os.system("x")`, in both ways to import.
    assert_eq!(
        refused(b"\x80\x02cposix\nsystem\n\x8c\x01x\x85R.").to_string(),
        "pickle imports the refused name `posix.system` at byte 2"
    );
    assert_eq!(
        refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.").to_string(),
        "pickle imports the refused name `builtins.eval` at byte 18"
    );
    // A dotted name must not reach through an allowed one.
    assert!(matches!(
        refused(b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93."),
        PickleError::Global { .. }
    ));
    // INST, OBJ, NEWOBJ and the extension registry have no place in data.
    for opcode in [b'i', b'o', 0x81, 0x92, 0x82, b'P'] {
        assert_eq!(
            refused(&[0x80, 4, b'(', opcode, b'.']),
            PickleError::Opcode { offset: 3, opcode }
        );
    }
    assert!(matches!(
        refused(b"\x80\x04K\x01)R."),
        PickleError::Operand {
            opcode: "REDUCE",
            ..
        }
    ));
}

#[test]
fn bounds_hold() {
    let limits = Limits {
        bytes: 64,
        depth: 4,
        memo: 2,
        items: 16,
    };
    let check = |bytes: &[u8], what: &str| match read(bytes, &[], &limits) {
        Err(PickleError::Limit { what: found, .. }) => assert_eq!(found, what),
        other => panic!("{other:?}"),
    };
    check(&[b'N'; 65], "bytes");
    check(b")\x85\x85\x85\x85\x85.", "levels");
    check(b"(((((.", "levels");
    check(b"N\x94\x94\x94.", "memo entries");
    check(b"Nr\xff\xff\xff\xff.", "memo entries");
    check(&[b'N'; 17], "items");
    // A value that is recalled again and again makes no node, only references.
    check(&[b"N\x94".as_slice(), &b"h\0".repeat(16)].concat(), "items");
    // A length far beyond the input reserves nothing.
    let short = read(b"X\xff\xff\xff\xffab.", &[], &limits);
    assert!(matches!(short, Err(PickleError::Truncated { offset: 0 })));
}

#[test]
fn a_list_that_contains_itself_is_harmless() {
    let pickle = read(b"\x80\x04]\x94h\0a.", &[], &Limits::DEFAULT).unwrap();
    let inner = pickle.root().items().unwrap().next().unwrap();
    assert_eq!(inner.describe(), "a list of 1");
}

#[test]
fn values_below_a_mark_stay_there() {
    for bytes in [b"N(0.".as_slice(), b"N(.", b"N(\x85.", b"](a.", b"N(\x94."] {
        assert!(read(bytes, &[], &Limits::DEFAULT).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_published_files_read() {
    for name in ["meta", "000000", "000011", "000284"] {
        let Some(bytes) = sample(name) else { return };
        let pickle = read(&bytes, &NUMPY, &Limits::DEFAULT).unwrap();
        assert_eq!(pickle.consumed(), bytes.len(), "{name}");
    }
}

#[test]
fn damaged_published_files_never_panic() {
    let Some(bytes) = sample("000284") else {
        return;
    };
    let refused =
        damaged(&bytes, 150).filter(|damaged| match read(damaged, &NUMPY, &Limits::DEFAULT) {
            Ok(pickle) => {
                assert!(pickle.nodes.len() <= Limits::DEFAULT.items);
                false
            }
            Err(_) => true,
        });
    let refused = refused.count();
    assert!(
        refused > 30,
        "only {refused} of 150 damaged files were refused"
    );
}

/// Opcodes that are read, so that random programs get far.
const OPCODES: [u8; 39] = [
    b'(', b'.', b'N', 0x88, 0x89, b'J', b'K', b'M', 0x8a, b'G', b'B', b'C', b'X', 0x8c, b'U', b'}',
    b']', 0x8f, b')', b't', 0x85, 0x86, 0x87, b'a', b'e', b's', b'u', 0x90, 0x94, b'q', b'r', b'h',
    b'j', b'c', 0x93, b'R', b'b', b'Q', 0x80,
];

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes, &NUMPY, &Limits::DEFAULT);
    }

    #[test]
    fn arbitrary_programs_stay_within_their_bounds(
        program in prop::collection::vec(prop::sample::select(OPCODES.to_vec()), 0..400),
    ) {
        let limits = Limits { bytes: 400, depth: 8, memo: 16, items: 100 };
        if let Ok(pickle) = read(&program, &NUMPY, &limits) {
            prop_assert!(pickle.nodes.len() <= limits.items);
            prop_assert!(pickle.consumed() <= program.len());
            pickle.root().describe();
        }
    }
}
