//! Several hosts on one machine: network namespaces on a switch of their own, each
//! with a link that can be pulled. Needs root and Debian's `iproute2`.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Networks that this process has made, so that each gets a name of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A switch with hosts. It is taken down with this value.
#[derive(Debug)]
pub struct Network {
    name: String,
    hosts: usize,
}

impl Network {
    /// So many hosts that reach each other. An error says what is missing.
    pub fn new(hosts: usize) -> io::Result<Self> {
        let network = Self {
            name: format!(
                "reprise-{}-{}",
                std::process::id(),
                MADE.fetch_add(1, Ordering::Relaxed)
            ),
            hosts,
        };
        network.build()?;
        Ok(network)
    }

    /// The namespace of a host.
    pub fn host(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// The address of a host.
    pub fn address(number: usize) -> String {
        format!("10.77.0.{}", number + 1)
    }

    /// Pulls a host's cable, or plugs it in again. Nobody is told: packets are
    /// lost, connections stay.
    pub fn plug(&self, number: usize, plugged: bool) -> io::Result<()> {
        let (link, state) = (link(number), if plugged { "up" } else { "down" });
        ip(&["-n", &self.switch(), "link", "set", &link, state])
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }

    fn build(&self) -> io::Result<()> {
        let switch = &self.switch();
        ip(&["netns", "add", switch])?;
        ip(&["-n", switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", switch, "link", "set", "br0", "up"])?;
        for number in 0..self.hosts {
            let (host, link) = (&self.host(number), &link(number));
            ip(&["netns", "add", host])?;
            ip(&["-n", host, "link", "set", "lo", "up"])?;
            let peer = ["type", "veth", "peer", "name", "eth0", "netns", host];
            ip(&[&["-n", switch, "link", "add", link], &peer[..]].concat())?;
            ip(&["-n", switch, "link", "set", link, "master", "br0", "up"])?;
            let address = &format!("{}/24", Self::address(number));
            ip(&["-n", host, "addr", "add", address, "dev", "eth0"])?;
            ip(&["-n", host, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for number in 0..self.hosts {
            // The links go with their namespaces; one that was never made is fine.
            let _ = ip(&["netns", "del", &self.host(number)]);
        }
        let _ = ip(&["netns", "del", &self.switch()]);
    }
}

fn link(number: usize) -> String {
    format!("host{number}")
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "ip {}: {}",
        arguments.join(" "),
        error.trim()
    )))
}
