//! Settings that may have several values: a value in the file, or a list of them of
//! which each makes a level.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One value, or a list of values.
#[derive(Debug, Clone)]
pub(crate) enum Each<T> {
    One(T),
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EachVisitor(PhantomData))
    }
}

/// Hands what is no list on to `T`, whose own messages say what it expects.
struct EachVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> EachVisitor<T> {
    fn one<E: de::Error>(value: impl IntoDeserializer<'de, E>) -> Result<Each<T>, E> {
        T::deserialize(value.into_deserializer()).map(Each::One)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for EachVisitor<T> {
    type Value = Each<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a list of values")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Each<T>, E> {
        Self::one(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Each<T>, E> {
        Self::one(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Each<T>, E> {
        Self::one(value)
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Each<T>, E> {
        Self::one(value)
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Each<T>, E> {
        Self::one(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Each<T>, E> {
        Self::one(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Each<T>, E> {
        Self::one(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Each<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Each::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Each<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Each::One)
    }
}

/// A name that people choose; numbers and truth values are names, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;

        impl Visitor<'_> for WordVisitor {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Word, E> {
                Ok(Word(value.to_owned()))
            }
        }

        deserializer.deserialize_str(WordVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Count;

    #[test]
    fn a_value_and_a_list_are_read_alike() {
        let one: Each<f64> = serde_yaml::from_str("1").unwrap();
        assert!(matches!(one, Each::One(value) if value == 1.0));
        let list: Each<f64> = serde_yaml::from_str("[0.5, 1, 1e-3]").unwrap();
        assert!(matches!(list, Each::List(values) if values == [0.5, 1.0, 0.001]));
        let flags: Each<bool> = serde_yaml::from_str("[true, false]").unwrap();
        assert!(matches!(flags, Each::List(values) if values == [true, false]));
        let words: Each<Word> = serde_yaml::from_str("[small, 8]").unwrap();
        assert!(matches!(words, Each::List(words) if words[1].0 == "8"));
    }

    #[test]
    fn what_is_expected_is_what_a_single_value_is() {
        let said = |yaml| serde_yaml::from_str::<Each<Count>>(yaml).unwrap_err();
        assert!(
            said("{a: 1}")
                .to_string()
                .contains("expected a whole number")
        );
        let nested = said("[8, [16]]").to_string();
        assert!(nested.contains("[1]: "), "{nested}");
        let said = serde_yaml::from_str::<Each<bool>>("[yes]").unwrap_err();
        assert!(said.to_string().contains("expected a boolean"), "{said}");
    }
}
