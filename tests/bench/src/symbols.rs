//! Names of functions as people write them. Code that is inlined into a function of
//! another package, as vector code is, goes by the function of this project that it
//! is part of, which the line tables of a release build tell.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use anyhow::ensure;

use crate::perf::filtered;

/// Names that say nothing: the ways into vector code.
const HOLLOW: [&str; 4] = ["with_simd", "call", "call_once", "vectorize"];

/// Characters of a name that are shown: generic code has names of hundreds.
const SHOWN: usize = 90;

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Its name, with its module.
    pub(crate) name: String,
    /// The module whose lines are inlined there.
    pub(crate) part: Option<String>,
}

impl Named {
    /// A function of its own.
    pub(crate) fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            part: None,
        }
    }
}

impl Display for Named {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        match &self.part {
            Some(part) => write!(f, ", in `{part}`"),
            None => Ok(()),
        }
    }
}

/// Readable names of symbols.
pub(crate) fn demangled<'a>(
    symbols: &HashSet<&'a str>,
) -> anyhow::Result<HashMap<&'a str, String>> {
    let symbols: Vec<&str> = symbols.iter().copied().collect();
    // The compiler numbers the copies that it makes for its own use.
    let bare = symbols
        .iter()
        .map(|symbol| symbol.split(".llvm.").next().unwrap_or(symbol));
    let input: String = bare.flat_map(|symbol| [symbol, "\n"]).collect();
    let text = filtered("c++filt", &[], &input)?;
    let names: Vec<&str> = text.lines().collect();
    ensure!(
        names.len() == symbols.len(),
        "`c++filt` answered {} lines to {}",
        names.len(),
        symbols.len()
    );
    let names = names.into_iter().map(readable);
    Ok(symbols.into_iter().zip(names).collect())
}

/// Names of the places (a symbol and an offset) of a program that lie in functions of
/// other packages and in code of this project.
pub(crate) fn inlined<'a>(
    program: &Path,
    places: impl Iterator<Item = (&'a str, u64)>,
    plain: &HashMap<&str, String>,
) -> anyhow::Result<HashMap<(&'a str, u64), Named>> {
    let text = filtered("nm", &[program.as_os_str()], "")?;
    let mut addresses = HashMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(address), Some(_), Some(symbol)) = (words.next(), words.next(), words.next())
            && let Ok(address) = u64::from_str_radix(address, 16)
        {
            addresses.insert(symbol, address);
        }
    }
    let foreign = places.filter(|(symbol, _)| !is_ours(&plain[symbol]));
    let foreign: Vec<_> = foreign
        .filter_map(|place| Some((place, addresses.get(place.0)? + place.1)))
        .collect();
    let lines: Vec<String> = foreign
        .iter()
        .map(|(_, address)| format!("{address:#x}"))
        .collect();
    let input = lines.join("\n");
    let options = ["-a", "-i", "-f", "-C", "-e"].map(OsStr::new);
    let arguments = [&options[..], &[program.as_os_str()]].concat();
    let text = filtered("addr2line", &arguments, &input)?;
    let lines: Vec<&str> = text.lines().collect();
    let chains = lines.chunk_by(|_, next| !next.starts_with("0x"));
    let names = foreign.into_iter().zip(chains);
    Ok(names
        .filter_map(|((place, _), chain)| Some((place, named(&chain[1..])?)))
        .collect())
}

/// A name without the hashes that tell instances of generic functions, and packages of
/// one name, from each other; not too long.
fn readable(name: &str) -> String {
    let bare = match name.rsplit_once("::h") {
        Some((bare, hash)) if is_hash(hash) => bare,
        _ => name,
    };
    let parts = bare.split_inclusive(['[', ']']);
    let kept = parts.map(|part| match part.strip_suffix(']') {
        Some(hash) if is_hash(hash) => "]",
        _ => part,
    });
    let plain = kept.collect::<String>().replace("[]", "");
    let mut short: String = plain.chars().take(SHOWN).collect();
    if short.len() < plain.len() {
        short.push('…');
    }
    short
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && u64::from_str_radix(text, 16).is_ok()
}

/// Whether a function is of this project, by its full name.
fn is_ours(name: &str) -> bool {
    name.trim_start_matches(['<', '&']).starts_with("reprise_")
}

/// The name of a place from the functions that are inlined there, innermost first:
/// lines of a name and of `FILE:LINE` in turns. A name may be that of the whole
/// function, whatever is inlined; it is then qualified, as no other is.
fn named(chain: &[&str]) -> Option<Named> {
    let (frames, _) = chain.as_chunks::<2>();
    let ours = frames
        .iter()
        .filter_map(|[name, place]| Some((short(name), module(place)?)));
    let (_, inner) = ours.clone().next()?;
    let mut speaking = ours
        .clone()
        .filter(|(name, _)| !name.is_empty() && !name.contains("::") && !HOLLOW.contains(name));
    let name = vectorised(frames).or_else(|| {
        let (name, module) = speaking.next_back()?;
        Some(format!("{module}::{name}"))
    });
    Some(match name {
        Some(name) => {
            let part = inner.rsplit("::").next().unwrap_or_default();
            let apart = !name.starts_with(&inner);
            Named {
                part: apart.then(|| part.to_owned()),
                name,
            }
        }
        None => Named::plain(&inner),
    })
}

/// The function that is all of a piece of vector code, where the code says so.
fn vectorised(frames: &[[&str; 2]]) -> Option<String> {
    let mut calls = frames.iter().filter_map(|[name, _]| {
        let name = name.strip_prefix("call<")?.strip_suffix("::Call>")?;
        is_ours(name).then(|| name.to_owned())
    });
    calls.next_back()
}

/// A function's name without its type arguments; nothing of a closure.
fn short(name: &str) -> &str {
    name.split(['<', '{']).next().unwrap_or_default()
}

/// The module that a file of this project is; none of another package's file.
fn module(place: &str) -> Option<String> {
    let (file, _) = place.rsplit_once(".rs:")?;
    if ["/rustc/", "/rust/deps/"]
        .iter()
        .any(|start| file.starts_with(start))
        || file.contains("/registry/src/")
    {
        return None;
    }
    let (package, inside) = file.rsplit_once("/src/")?;
    let (_, package) = package.rsplit_once('/')?;
    let inside = inside.trim_end_matches("/mod").replace('/', "::");
    Some(format!("reprise_{package}::{inside}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = "/rustc/59807616/library/core/src/slice/iter/macros.rs:180";
    const PULP: &str = "/home/user/.cargo/registry/src/index-19/pulp-0.22.3/src/x86/v3.rs:1225";
    const KERNEL: &str = "/home/main/worker/search/src/surrogate/kernel.rs:35";
    const MODEL: &str = "/home/main/worker/search/src/surrogate/model.rs:55 (discriminator 2)";

    fn check(chain: &[&str], expected: Option<&str>) {
        let found = named(chain).map(|named| named.to_string());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn inlined_code_goes_by_the_function_that_it_is_part_of() {
        let into = ["with_simd<pulp::x86::v3::V3>", MODEL];
        let chain = [
            "pulp::x86::v3::V3::vectorize::imp_fastcall",
            CORE,
            "accumulate<4>",
            KERNEL,
            "gather<2>",
            MODEL,
        ];
        check(
            &[&chain[..], &into].concat(),
            Some("`reprise_search::surrogate::model::gather`, in `kernel`"),
        );
        let call = ["call<reprise_search::surrogate::kernel::add::Call>", PULP];
        check(
            &[&chain[..4], &into, &call].concat(),
            Some("`reprise_search::surrogate::kernel::add`"),
        );
    }

    #[test]
    fn code_of_nobody_goes_by_its_module_or_by_nothing() {
        check(&["pulp::imp", CORE], None);
        check(
            &["core::ops::call_once", KERNEL, "{closure#0}", KERNEL],
            Some("`reprise_search::surrogate::kernel`"),
        );
    }

    #[test]
    fn names_are_short_and_without_hashes() {
        assert_eq!(readable("a::step::h029ec4e80ff032b3"), "a::step");
        assert_eq!(readable("a::hash"), "a::hash");
        assert_eq!(readable("core[c1f1a4ba060b9bfa]::fmt"), "core::fmt");
        assert_eq!(readable("<[u8]>::len"), "<[u8]>::len");
        assert_eq!(readable(&"a".repeat(200)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn only_names_of_this_project_are_kept() {
        assert!(is_ours(
            "<reprise_torch::autoencoder::plain::PlainEngine as X>::step"
        ));
        assert!(!is_ours("pulp::x86::v3::V3::vectorize::imp_fastcall"));
    }
}
