//! Lists of whole numbers: seeds and architectures.

use std::collections::BTreeSet;

use reprise_domain::Seed;
use reprise_domain::study::Seeds;

use super::checker::Checker;
use crate::error::{Problem, StudyFileError};
use crate::path::KeyPath;
use crate::value::Numbers;

const EXPECTED: &str = "whole numbers such as `1..20` (20 included), `3` or `[1, 4, 9]`";

/// The seeds of a section; one of them where they are wrong.
pub(super) fn seeds(checker: &Checker<'_>, path: &KeyPath, form: &Numbers) -> Seeds {
    let numbers = checker.keep(check(checker, path, form));
    let numbers = numbers.unwrap_or_else(|| vec![1]);
    Seeds(numbers.into_iter().map(Seed).collect())
}

/// The numbers in the order given: at least one, each once, at most
/// [`Seeds::MAX`].
pub(super) fn check(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &Numbers,
) -> Result<Vec<u64>, StudyFileError> {
    let numbers = match form {
        Numbers::One(number) => vec![*number],
        Numbers::List(numbers) => numbers.clone(),
        Numbers::Text(text) => read(text).map_err(|mistake| {
            let guess = guess(text).map(|guess| format!("did you mean `{guess}`?"));
            checker.wrong(path, mistake).with_hint(guess)
        })?,
    };
    if numbers.is_empty() {
        return Err(checker.wrong(path, "at least one number"));
    }
    let mut seen = BTreeSet::new();
    match numbers.iter().find(|&number| !seen.insert(number)) {
        None => Ok(numbers),
        Some(number) => {
            let found = format!("a list with `{number}` twice");
            let expected = "every number once".to_owned();
            let problem = Problem::WrongValue {
                path: path.clone(),
                found,
                expected,
            };
            Err(checker.at_value(path, problem))
        }
    }
}

/// Reads numbers and inclusive ranges between commas; the error is what was
/// expected.
fn read(text: &str) -> Result<Vec<u64>, String> {
    let most = format!("at most {} numbers", Seeds::MAX);
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (Some(first), Some(last)) = (whole(first), whole(last)) else {
            return Err(EXPECTED.to_owned());
        };
        if first > last {
            return Err("a range that counts up".to_owned());
        }
        if last - first >= (Seeds::MAX - numbers.len()) as u64 {
            return Err(most);
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The range that a text with two numbers in it was probably meant to be.
fn guess(text: &str) -> Option<String> {
    let between = |character: char| character.is_ascii_digit() || "-–.=: to".contains(character);
    if !text.chars().all(between) {
        return None;
    }
    let mut numbers = text
        .split(|character: char| !character.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(str::parse::<u64>);
    let (Some(Ok(one)), Some(Ok(other)), None) = (numbers.next(), numbers.next(), numbers.next())
    else {
        return None;
    };
    let guess = format!("{}..{}", one.min(other), one.max(other));
    (one != other && guess != text).then_some(guess)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_domain_seeds_print() {
        let check = |text: &str, expected: &[u64]| {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        };
        check("1..3", &[1, 2, 3]);
        check(" 1 .. 3 ", &[1, 2, 3]);
        check("7", &[7]);
        check("1,3", &[1, 3]);
        check("5..5,0..1", &[5, 0, 1]);
        assert_eq!(read("1..1000000").unwrap().len(), Seeds::MAX);
        for seeds in [Seeds::range(1, 20), Seeds(vec![Seed(4), Seed(9)])] {
            let numbers: Vec<u64> = seeds.iter().map(|seed| seed.0).collect();
            check(&seeds.to_string(), &numbers);
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_guess() {
        let check = |text: &str, expected: Option<&str>| {
            assert!(read(text).is_err(), "{text}");
            assert_eq!(guess(text).as_deref(), expected, "{text}");
        };
        check("20..1", Some("1..20"));
        check("1-20", Some("1..20"));
        check("1..=20", Some("1..20"));
        check("1...20", Some("1..20"));
        check("1 to 20", Some("1..20"));
        check("0..1000000", None);
        check("0..1,2..1000001", None);
        check("1..18446744073709551615", None);
        check("1..99999999999999999999", None);
        check("..", None);
        check("1..", None);
        check("1,,2", None);
        check("1_000", None);
        check("+1", None);
        check("", None);
    }
}
