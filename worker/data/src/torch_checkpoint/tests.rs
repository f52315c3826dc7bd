//! Tests on checkpoints that PyTorch 2.11.0 wrote (`tests/fixtures/torch`, see
//! `make.py` there), whole and damaged.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/torch/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

#[test]
fn both_containers_give_the_published_names_and_values() {
    // Parameter k, in the model's order, holds (100 k + position) / 8.
    let expected = [
        ("linear.weight", vec![2, 3], 0),
        ("linear.bias", vec![2], 1),
        ("norm.weight", vec![2], 2),
        ("norm.bias", vec![2], 3),
        ("norm.running_mean", vec![2], 4),
        ("norm.running_var", vec![2], 5),
    ];
    for name in ["checkpoint-zip.pt", "checkpoint-legacy.pt"] {
        let tensors = read_checkpoint(&fixture(name)).unwrap();
        assert_eq!(tensors.len(), 7, "{name}");
        for (key, shape, k) in &expected {
            let tensor = &tensors[*key];
            assert_eq!(tensor.shape, *shape, "{name} {key}");
            let count = shape.iter().product::<usize>();
            let values = (0..count).map(|position| (100 * k + position) as f32 / 8.0);
            assert_eq!(tensor.data, values.collect::<Vec<_>>(), "{name} {key}");
        }
        let batches = &tensors["norm.num_batches_tracked"];
        assert_eq!(
            (batches.shape.len(), batches.data.as_slice()),
            (0, [1.0].as_slice())
        );
    }
}

#[test]
fn views_are_copied_out_of_their_storage() {
    for name in ["views-zip.pt", "views-legacy.pt"] {
        let tensors = read_checkpoint(&fixture(name)).unwrap();
        let check = |key: &str, shape: &[usize], data: &[f32]| {
            assert_eq!(tensors[key].shape, shape, "{name} {key}");
            assert_eq!(tensors[key].data, data, "{name} {key}");
        };
        let whole: Vec<f32> = (0..12).map(|value| value as f32).collect();
        check("whole", &[3, 4], &whole);
        check(
            "transposed",
            &[4, 3],
            &[0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.],
        );
        check("window", &[2, 2], &[5., 6., 9., 10.]);
        check("wide", &[2], &[0.5, -2.25]);
        check("scalar", &[], &[7.0]);
        check("empty", &[0, 3], &[]);
    }
}

#[test]
fn what_is_there_is_listed_when_no_state_dictionary_is() {
    let error = read_checkpoint(&fixture("no-tensors.pt")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no state dictionary at top level or under one key, found `epoch`: the integer `3`, `weights`: a list of 1"
    );
    let error = read_checkpoint(b"not a checkpoint").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("found the bytes `6e 6f 74 20 61 20 63 68`")
    );
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    for name in ["views-zip.pt", "views-legacy.pt"] {
        let bytes = fixture(name);
        for length in 0..bytes.len() {
            assert!(
                read_checkpoint(&bytes[..length]).is_err(),
                "{name} {length}"
            );
        }
    }
}

#[test]
fn a_view_outside_its_storage_is_refused() {
    // The legacy stream stores the window's offset, 5, as BININT1 before its
    // shape (2, 2): K 05 K 02 K 02 TUPLE2.
    let bytes = fixture("views-legacy.pt");
    let window = b"K\x05K\x02K\x02\x86";
    let at = bytes
        .windows(window.len())
        .position(|found| found == window);
    let mut damaged = bytes.clone();
    damaged[at.unwrap() + 1] = 7;
    let error = read_checkpoint(&damaged).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `window`: shape [2, 2] from offset 7 with strides [4, 1] leaves its storage of 12 elements"
    );
    // A size of 255 by 255 elements, 4 apart.
    damaged[at.unwrap() + 1] = 5;
    damaged[at.unwrap() + 3] = 255;
    damaged[at.unwrap() + 5] = 255;
    assert!(matches!(
        read_checkpoint(&damaged),
        Err(CheckpointError::Tensor { .. })
    ));
}

#[test]
fn code_in_a_checkpoint_is_refused() {
    let bytes = fixture("views-legacy.pt");
    let name = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let at = bytes.windows(name.len()).position(|found| found == name);
    let mut hostile = bytes.clone();
    hostile.splice(at.unwrap()..at.unwrap() + name.len(), *b"cos\nsystem\n");
    let error = read_checkpoint(&hostile).unwrap_err();
    let CheckpointError::Pickle { part, source } = error else {
        panic!("{error}");
    };
    assert_eq!(part, "object");
    assert!(source.to_string().contains("`os.system`"), "{source}");
}

proptest! {
    #[test]
    fn damaged_checkpoints_never_panic(
        which in prop::sample::select(vec!["checkpoint-zip.pt", "views-zip.pt", "checkpoint-legacy.pt", "views-legacy.pt"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fixture(which);
        for (position, byte) in damage {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        let _ = read_checkpoint(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        for magic in [zip_form::MAGIC, legacy_form::MAGIC] {
            let _ = read_checkpoint(&[magic, &tail].concat());
        }
    }
}
