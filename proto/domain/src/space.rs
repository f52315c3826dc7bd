//! Names of search spaces and data sets, and the index of an architecture.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A search space that Reprise enumerates by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpaceName {
    /// 423,624 unique cells of at most 7 vertices, 9 edges and 3 operations.
    Nasbench101,
    /// 15,625 cells of 4 nodes with one of 5 operations on each of 6 edges.
    Nasbench201,
}

impl SpaceName {
    /// The name as written in study files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nasbench101 => "nasbench101",
            Self::Nasbench201 => "nasbench201",
        }
    }

    /// How many architectures it has as published: Ying et al. (2019), table 1 of
    /// NAS-Bench-101, and Dong and Yang (2020), section 2.1 of NAS-Bench-201.
    pub const fn architectures(self) -> u32 {
        match self {
            Self::Nasbench101 => 423_624,
            Self::Nasbench201 => 15_625,
        }
    }
}

impl fmt::Display for SpaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Position of an architecture in its space's published order, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArchIndex(pub u32);

impl ArchIndex {
    /// The index as a position in a table of the whole space.
    pub const fn row(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ArchIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A data set that architectures are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dataset {
    /// CIFAR-10.
    #[serde(rename = "cifar10")]
    Cifar10,
    /// CIFAR-100.
    #[serde(rename = "cifar100")]
    Cifar100,
    /// ImageNet16-120.
    #[serde(rename = "imagenet16-120")]
    ImageNet16_120,
    /// The UCI handwritten digits, 1,797 images of 8x8.
    #[serde(rename = "digits")]
    Digits,
}

impl Dataset {
    /// The name as written in study files and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::ImageNet16_120 => "imagenet16-120",
            Self::Digits => "digits",
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
