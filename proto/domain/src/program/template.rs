//! Placeholders in the arguments of a command: `{NAME}` stands for a parameter,
//! `{seed}` for the repetition seed, `{seed.NAME}` for one of the seeds that are
//! derived from the task's key. `{{` and `}}` stand for the braces themselves.

/// The name of the repetition seed.
pub const SEED: &str = "seed";

/// Names of the seeds that are derived from a task's key: streams of random numbers
/// that do not depend on each other.
pub const SEED_NAMES: [&str; 5] = ["data", "evaluation", "model", "other", "search"];

/// What is wrong with an argument's placeholders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a `{brace}` without its partner; write `{brace}{brace}` for the character itself")]
    Brace {
        /// Which one.
        brace: char,
    },
    /// A placeholder that stands for nothing.
    #[error("the unknown placeholder `{{{name}}}`")]
    Unknown {
        /// Its name.
        name: String,
    },
}

/// A part of an argument.
enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// The argument with the placeholders replaced by what `value` gives for their names.
///
/// # Errors
/// When a brace has no partner, or `value` gives nothing for a name.
pub fn expand(
    argument: &str,
    value: impl Fn(&str) -> Option<String>,
) -> Result<String, TemplateError> {
    let mut expanded = String::with_capacity(argument.len());
    for piece in pieces(argument)? {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Placeholder(name) => {
                let value = value(name).ok_or_else(|| TemplateError::Unknown {
                    name: name.chars().take(60).collect(),
                })?;
                expanded.push_str(&value);
            }
        }
    }
    Ok(expanded)
}

/// The names of an argument's placeholders.
///
/// # Errors
/// When a brace has no partner.
pub fn placeholders(argument: &str) -> Result<Vec<&str>, TemplateError> {
    let names = pieces(argument)?
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name),
            Piece::Text(_) => None,
        });
    Ok(names.collect())
}

fn pieces(argument: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = argument;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        pieces.push(Piece::Text(before));
        if from.starts_with("{{") || from.starts_with("}}") {
            pieces.push(Piece::Text(&from[..1]));
            rest = &from[2..];
            continue;
        }
        let inner = from
            .strip_prefix('{')
            .ok_or(TemplateError::Brace { brace: '}' })?;
        let (name, after) = inner
            .split_once('}')
            .filter(|(name, _)| !name.contains('{'))
            .ok_or(TemplateError::Brace { brace: '{' })?;
        pieces.push(Piece::Placeholder(name));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argument: &str, expected: Result<&str, TemplateError>) {
        let value = |name: &str| (name == "a").then(|| "{7}".to_owned());
        assert_eq!(
            expand(argument, value),
            expected.map(str::to_owned),
            "{argument}"
        );
    }

    #[test]
    fn placeholders_are_replaced_once_and_doubled_braces_are_braces() {
        let brace = |brace| Err(TemplateError::Brace { brace });
        check("", Ok(""));
        check("--a={a}/{a}", Ok("--a={7}/{7}"));
        check("{{a}} {{{a}}}", Ok("{a} {{7}}"));
        check("{\"x\": 1}", {
            let name = "\"x\": 1".to_owned();
            Err(TemplateError::Unknown { name })
        });
        check("{a", brace('{'));
        check("{a{a}", brace('{'));
        check("a}", brace('}'));
        check("é}", brace('}'));
        assert_eq!(placeholders("{x}{{y}}{z}").unwrap(), ["x", "z"]);
    }
}
