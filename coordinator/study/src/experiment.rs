//! The keys of an experiment and the types of their values: a grid and metrics in the
//! order in which they are written, values of any plain type, and sizes.

use std::fmt;
use std::marker::PhantomData;

use reprise_domain::Scalar;
use reprise_domain::program::Goal;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::value::{Count, DurationText, Name, Numbers};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExperimentForm {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) files: Option<Vec<String>>,
    pub(crate) grid: Option<Ordered<Values>>,
    pub(crate) seeds: Numbers,
    pub(crate) metrics: Metrics,
    pub(crate) needs: Option<NeedsForm>,
    pub(crate) limits: Option<LimitsForm>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MetricForm {
    pub(crate) unit: Option<String>,
    pub(crate) goal: Option<Name<Goal>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct NeedsForm {
    pub(crate) cores: Option<Count>,
    pub(crate) memory: Option<SizeText>,
    pub(crate) gpus: Option<Count>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct LimitsForm {
    pub(crate) time: Option<DurationText>,
    pub(crate) silence: Option<DurationText>,
    pub(crate) output: Option<SizeText>,
    pub(crate) memory: Option<SizeText>,
    pub(crate) open_files: Option<Count>,
}

/// A mapping in the order of the file.
#[derive(Debug)]
pub(crate) struct Ordered<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OrderedVisitor<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }

        deserializer.deserialize_map(OrderedVisitor(PhantomData))
    }
}

/// The metrics: a list of names, or a mapping from names to what is said of them.
#[derive(Debug)]
pub(crate) struct Metrics(pub(crate) Vec<(String, MetricForm)>);

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetricsVisitor;

        impl<'de> Visitor<'de> for MetricsVisitor {
            type Value = Metrics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names such as `[loss]`, or `{loss: {goal: min}}`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Metrics, A::Error> {
                let names: Vec<String> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                let bare = |name| (name, MetricForm::default());
                Ok(Metrics(names.into_iter().map(bare).collect()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Metrics, A::Error> {
                Ordered::deserialize(MapAccessDeserializer::new(map))
                    .map(|Ordered(entries)| Metrics(entries))
            }
        }

        deserializer.deserialize_any(MetricsVisitor)
    }
}

/// The values of a factor: a list, or one.
#[derive(Debug)]
pub(crate) struct Values(pub(crate) Vec<Scalar>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;

        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers, texts or truth values, such as `[8, 16]`")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Values, E> {
                ScalarVisitor.visit_bool(value).map(one)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Values, E> {
                ScalarVisitor.visit_i64(value).map(one)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Values, E> {
                ScalarVisitor.visit_u64(value).map(one)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Values, E> {
                ScalarVisitor.visit_f64(value).map(one)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Values, E> {
                ScalarVisitor.visit_str(value).map(one)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Values, A::Error> {
                let list: Vec<AnyScalar> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Values(
                    list.into_iter().map(|AnyScalar(value)| value).collect(),
                ))
            }
        }

        deserializer.deserialize_any(ValuesVisitor)
    }
}

fn one(value: Scalar) -> Values {
    Values(vec![value])
}

struct AnyScalar(Scalar);

impl<'de> Deserialize<'de> for AnyScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Self)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text or a truth value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
        let whole = i64::try_from(value).map(Scalar::Whole);
        whole.map_err(|_| {
            let expected = "a whole number below 2^63; in quotes it is a text";
            E::invalid_value(Unexpected::Unsigned(value), &expected)
        })
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Real(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }
}

/// A number of bytes as written.
#[derive(Debug, Clone)]
pub(crate) struct SizeText(pub(crate) String);

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = SizeText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `4 GiB` or `100 MB`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SizeText, E> {
                Ok(SizeText(text.to_owned()))
            }
        }

        // YAML numbers reach `visit_str` as they are written.
        deserializer.deserialize_str(SizeVisitor)
    }
}
