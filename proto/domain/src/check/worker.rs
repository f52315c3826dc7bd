//! What a worker says of itself when it joins.

use super::{Checker, SpecProblem, shown};
use crate::bounds::worker;
use crate::capability::{Capability, Device};

impl Capability {
    /// Checks that every name is short and prints, and that the slots are believed.
    pub fn check(&self) -> Result<(), Vec<SpecProblem>> {
        let mut checker = Checker::default();
        checker.whole("slots", self.slots, worker::SLOTS);
        let (Device::Cpu { model } | Device::Cuda { model, .. }) = &self.device;
        for (field, text) in [
            ("host", &self.host),
            ("device.model", model),
            ("version", &self.version),
            ("libtorch", &self.libtorch),
            ("commit", &self.commit),
            ("os", &self.os),
            ("driver", &self.driver),
        ] {
            let is_short = text.chars().count() <= worker::NAME_CHARS;
            if !is_short || text.contains(char::is_control) {
                let expected = format!(
                    "at most {} characters, no control characters",
                    worker::NAME_CHARS
                );
                checker.wrong(field, shown(text), expected);
            }
        }
        checker.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut Capability)) -> String {
        let mut capability = Capability {
            slots: 4,
            host: "node-7.lab".to_owned(),
            device: Device::Cpu {
                model: "AMD EPYC 9654 96-Core Processor".to_owned(),
            },
            version: "0.1.0".to_owned(),
            libtorch: "2.9.1".to_owned(),
            ..Capability::default()
        };
        assert_eq!(capability.check(), Ok(()));
        change(&mut capability);
        capability.check().unwrap_err()[0].to_string()
    }

    #[test]
    fn a_worker_says_little_of_itself() {
        let host = said(|capability| capability.host = "h".repeat(10 << 20));
        assert!(
            host.starts_with("`host` is `hhh") && host.len() < 200,
            "{host}"
        );
        let version = said(|capability| capability.version = "1\u{1b}[31m".to_owned());
        assert_eq!(
            version,
            "`version` is `1\\u{1b}[31m`, expected at most 255 characters, no control characters"
        );
        let driver = said(|capability| capability.driver = "580\n".to_owned());
        assert!(driver.starts_with("`driver` is `"), "{driver}");
        let slots = said(|capability| capability.slots = 0);
        assert_eq!(
            slots,
            "`slots` is 0, expected a whole number from 1 to 4096"
        );
    }
}
