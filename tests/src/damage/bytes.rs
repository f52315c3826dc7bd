//! Damage to bytes: of a file, or of a value in a table.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::chaos::random::Random;

/// Size of a page of the database.
const PAGE: usize = 4096;

/// Turns one bit round; says which, or nothing where there is none.
pub fn flip(bytes: &mut [u8], random: &mut Random) -> Option<String> {
    let place = random.below(bytes.len());
    let bit = random.below(8);
    *bytes.get_mut(place)? ^= 1 << bit;
    Some(format!("bit {bit} of byte {place} flipped"))
}

/// Leaves only the first bytes; says how many.
pub fn cut(bytes: &mut Vec<u8>, random: &mut Random) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    let length = random.below(bytes.len());
    bytes.truncate(length);
    Some(format!("cut to {length} bytes"))
}

/// Puts zeros into one page; says which.
pub fn zero_page(bytes: &mut [u8], random: &mut Random) -> Option<String> {
    let page = random.below(bytes.len().div_ceil(PAGE));
    let page_bytes = bytes.chunks_mut(PAGE).nth(page)?;
    page_bytes.fill(0);
    Some(format!("page {page} zeroed"))
}

/// Makes one decimal digit another, none of them zero, so that a number stays one.
pub fn change_digit(bytes: &mut [u8], random: &mut Random) -> Option<String> {
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let wanted = random.below(digits);
    let mut places = bytes.iter().enumerate();
    let (place, _) = places
        .by_ref()
        .filter(|(_, byte)| byte.is_ascii_digit())
        .nth(wanted)?;
    let old = bytes[place];
    let others: Vec<u8> = (b'1'..=b'9').filter(|digit| *digit != old).collect();
    let new = others[random.below(others.len())];
    bytes[place] = new;
    let (old, new) = (char::from(old), char::from(new));
    Some(format!("digit {old} at byte {place} made {new}"))
}

/// Damages the bytes of a file in place; nothing where there is no file.
pub fn in_file(
    path: &Path,
    damage: impl FnOnce(&mut Vec<u8>) -> Option<String>,
) -> io::Result<Option<String>> {
    let mut bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let Some(done) = damage(&mut bytes) else {
        return Ok(None);
    };
    // In place: links to the file, if there are any, share the damage.
    let file = OpenOptions::new().write(true).truncate(true).open(path)?;
    io::Write::write_all(&mut &file, &bytes)?;
    Ok(Some(format!("`{}`: {done}", path.display())))
}

/// All files under a directory, in order; none where there is no directory.
pub fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(place) = open.pop() {
        let entries = match fs::read_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_changes_what_it_says_and_nothing_else() {
        let mut random = Random::new(3, 1);
        let whole = br#"{"test":[0.125,9]}"#.repeat(400);
        for _ in 0..200 {
            let mut bytes = whole.clone();
            flip(&mut bytes, &mut random).unwrap();
            let changed = bytes.iter().zip(&whole).filter(|(a, b)| a != b);
            assert_eq!(changed.count(), 1);

            let mut bytes = whole.clone();
            change_digit(&mut bytes, &mut random).unwrap();
            assert_ne!(bytes, whole);
            let text = String::from_utf8(bytes).unwrap();
            let one = text.split_inclusive('}').map(serde_json::from_str);
            assert!(
                one.into_iter()
                    .all(|value| value.is_ok_and(|value: serde_json::Value| value.is_object()))
            );

            let mut bytes = whole.clone();
            cut(&mut bytes, &mut random).unwrap();
            assert!(bytes.len() < whole.len() && whole.starts_with(&bytes));

            let mut bytes = whole.clone();
            zero_page(&mut bytes, &mut random).unwrap();
            assert!(bytes.iter().filter(|byte| **byte == 0).count() <= PAGE);
            assert_ne!(bytes, whole);
        }
        assert_eq!(flip(&mut [], &mut random), None);
        assert_eq!(cut(&mut Vec::new(), &mut random), None);
        assert_eq!(change_digit(b"none".to_vec().as_mut(), &mut random), None);
    }
}
