//! Archives are written and read back; no damage to one goes unnoticed.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use futures::TryStreamExt as _;
use reprise_domain::measure::{ArtifactRef, PretrainResult};
use reprise_domain::record::{ArchivedResult, StoredResult};
use reprise_domain::{Seconds, TaskKey, TaskResult, Usage};

use super::*;

const STUDY: &str = "version: 1\nname: kept\nspace: nasbench201\n\
                     pretrain: [{model: arch2vec, seeds: 1..2, epochs: 1}]\n";

fn spec() -> StudySpec {
    let file = reprise_study::parse("kept.yaml", STUDY).unwrap();
    file.resolve(None).unwrap()
}

fn file(content: &[u8]) -> ArtifactRef {
    ArtifactRef {
        digest: reprise_data::digest(content),
        bytes: content.len() as u64,
    }
}

fn result(key: u8, embedding: &[u8]) -> ArchivedResult {
    ArchivedResult {
        task: TaskKey(Digest::from_bytes([key; 32])),
        stored: StoredResult {
            result: TaskResult::Pretrain(PretrainResult {
                epochs: Vec::new(),
                checkpoint: file(b"checkpoint"),
                embedding: file(embedding),
            }),
            usage: Usage {
                wall: Seconds::ZERO,
                training: None,
                started_ms: None,
                ended_ms: None,
            },
            host: "den".to_owned(),
            attempt: 1,
            worker: None,
            started_ms: 1,
            ended_ms: 2,
            provenance: None,
        },
        provenance: None,
    }
}

const FILES: [&[u8]; 3] = [b"checkpoint", b"first", b"second"];

/// An archive of two results and three files.
fn written() -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &spec()).unwrap();
    writer.result(&result(1, b"first")).unwrap();
    writer.result(&result(2, b"second")).unwrap();
    let missing = writer.missing().unwrap();
    assert_eq!(missing.len(), FILES.len());
    for content in FILES {
        let digest = reprise_data::digest(content);
        assert!(missing.contains(&digest));
        writer.artifact(digest, content).unwrap();
    }
    let (bytes, contents) = writer.finish().unwrap();
    assert_eq!((contents.results, contents.artifacts), (2, 3));
    bytes
}

fn stored(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept.tar");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn refusal(bytes: &[u8]) -> String {
    let (_directory, path) = stored(bytes);
    Archive::open(&path).unwrap_err().to_string()
}

#[tokio::test]
async fn an_archive_comes_back_whole() {
    let (_directory, path) = stored(&written());
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.spec, spec());
    let pages: Vec<_> = archive.results().try_collect().await.unwrap();
    let expected = [result(1, b"first"), result(2, b"second")];
    assert_eq!(pages.concat(), expected);
    let files: Vec<_> = archive.artifacts().try_collect().await.unwrap();
    let contents: Vec<_> = files.iter().map(|(_, content)| &**content).collect();
    assert_eq!(contents, FILES);
}

#[test]
fn every_flipped_bit_is_found_or_changes_nothing() {
    let whole = written();
    let (_directory, path) = stored(&whole);
    let expected = Archive::open(&path).unwrap();
    // A prime step: each of a header's fields is hit in one entry or another.
    for place in (0..whole.len() * 8).step_by(13) {
        let mut flipped = whole.clone();
        flipped[place / 8] ^= 1 << (place % 8);
        fs::write(&path, &flipped).unwrap();
        if let Ok(read) = Archive::open(&path) {
            assert_eq!(
                (read.spec, read.contents),
                (expected.spec.clone(), expected.contents),
                "bit {place}"
            );
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let whole = written();
    let (_directory, path) = stored(&whole);
    // Two empty blocks end a tar file; they may be missing.
    let end = whole.len() - 1024;
    for length in (0..end).step_by(97) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(Archive::open(&path).is_err(), "{length} of {end} bytes");
    }
    fs::write(&path, &whole[..end]).unwrap();
    Archive::open(&path).unwrap();
}

#[test]
fn what_is_not_an_archive_is_refused_with_the_reason() {
    assert!(refusal(b"").contains("its end is missing"));
    assert!(refusal(&[7; 2048]).contains("it is damaged, or is not an archive"));
    let tar = |entries: &[(&str, &[u8])]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, *content).unwrap();
        }
        tar.into_inner().unwrap()
    };
    assert_eq!(
        refusal(&tar(&[("readme.txt", b"hello")])),
        "its first entry is `readme.txt`: expected `archive.json`"
    );
    assert_eq!(
        refusal(&tar(&[("archive.json", br#"{"format":2,"more":1}"#)])),
        "it has form `2`: expected at most `1`, which this version reads"
    );
    let (_directory, path) = stored(b"");
    let said = Archive::open(path.parent().unwrap()).unwrap_err();
    assert_eq!(said.to_string(), "it is not a regular file");
}

#[test]
fn an_entry_that_claims_to_be_huge_is_refused_unread() {
    let mut header = tar::Header::new_ustar();
    header.set_path("results/00000000.jsonl").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.write_all(&[0; 512]).unwrap();
    assert!(refusal(&bytes).contains("has `1099511627776` bytes"));
}

#[test]
fn links_are_refused() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "archive.json", "/etc/passwd")
        .unwrap();
    assert_eq!(
        refusal(&tar.into_inner().unwrap()),
        "it has an entry that is not a regular file"
    );
}
