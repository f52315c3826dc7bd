//! Values of a study file that serde has no ready reading for: names of the
//! domain, seeds, durations, and the two that are either a word or a mapping.
//!
//! Visitors here accept every *shape* that a value may have and leave the
//! meaning of texts to `check`, which can say more in its messages than a serde
//! error can carry.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A unit variant of `T` by its name. Plain enums would do, if `serde_yaml` did
/// not ask for "a YAML tag" where it finds a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for NameVisitor<T> {
            type Value = Name<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(Name)
            }
        }

        deserializer.deserialize_str(NameVisitor(PhantomData))
    }
}

/// Whole numbers from 0: one, a list, or a text such as `1..500` or `1,3,7..9`.
#[derive(Debug, Clone)]
pub(crate) enum Numbers {
    One(u64),
    Text(String),
    List(Vec<u64>),
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumbersVisitor;

        impl<'de> Visitor<'de> for NumbersVisitor {
            type Value = Numbers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("whole numbers such as `1..20`, `3` or `[1, 4, 9]`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Numbers, E> {
                Ok(Numbers::One(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Numbers, E> {
                Ok(Numbers::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Numbers, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Numbers::List)
            }
        }

        deserializer.deserialize_any(NumbersVisitor)
    }
}

/// A whole number that has a bound: one beyond 64 bits is kept as the nearest that
/// they hold, and what is not a whole number as nothing, so that the message can name
/// the bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count(pub(crate) Option<i64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                Ok(Count(Some(number)))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count(Some(i64::try_from(number).unwrap_or(i64::MAX))))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Count, E> {
                Ok(Count(None))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

/// A duration as written. A bare number is kept too: the message about its
/// missing unit shows it with one.
#[derive(Debug, Clone)]
pub(crate) struct DurationText(pub(crate) String);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;

        impl Visitor<'_> for DurationVisitor {
            type Value = DurationText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `12000 s` or `1.5 h`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationText, E> {
                Ok(DurationText(text.to_owned()))
            }
        }

        // YAML numbers reach `visit_str` as they are written.
        deserializer.deserialize_str(DurationVisitor)
    }
}

/// A share in percent as written. A bare number is kept too: the message about its
/// missing `%` shows it with one.
#[derive(Debug, Clone)]
pub(crate) struct PercentText(pub(crate) String);

impl<'de> Deserialize<'de> for PercentText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PercentVisitor;

        impl Visitor<'_> for PercentVisitor {
            type Value = PercentText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as `2 %`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PercentText, E> {
                Ok(PercentText(text.to_owned()))
            }
        }

        // YAML numbers reach `visit_str` as they are written.
        deserializer.deserialize_str(PercentVisitor)
    }
}

/// Which architectures: numbers, a word, or a mapping with one key.
#[derive(Debug, Clone)]
pub(crate) enum Architectures {
    Numbers(Numbers),
    FirstUnique(Count),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct FirstUnique {
    first_unique: Count,
}

impl<'de> Deserialize<'de> for Architectures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArchitecturesVisitor;

        impl<'de> Visitor<'de> for ArchitecturesVisitor {
            type Value = Architectures;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`unique`, `all`, `{first-unique: 100}` or indices such as `0..99`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Architectures, E> {
                Ok(Architectures::Numbers(Numbers::One(number)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Architectures, E> {
                Ok(Architectures::Numbers(Numbers::Text(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Architectures, A::Error> {
                let list = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Architectures::Numbers(Numbers::List(list)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Architectures, A::Error> {
                let map = FirstUnique::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Architectures::FirstUnique(map.first_unique))
            }
        }

        deserializer.deserialize_any(ArchitecturesVisitor)
    }
}

/// What a failed task means: a word, or a mapping with one key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failures {
    Continue,
    Stop,
    StopAfter(Count),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StopAfter {
    stop_after: Count,
}

impl<'de> Deserialize<'de> for Failures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FailuresVisitor;

        impl<'de> Visitor<'de> for FailuresVisitor {
            type Value = Failures;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`continue`, `stop` or `{stop-after: 10}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Failures, E> {
                match text {
                    "continue" => Ok(Failures::Continue),
                    "stop" => Ok(Failures::Stop),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Failures, A::Error> {
                let map = StopAfter::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Failures::StopAfter(map.stop_after))
            }
        }

        deserializer.deserialize_any(FailuresVisitor)
    }
}
