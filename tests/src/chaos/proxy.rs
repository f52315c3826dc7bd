//! A TCP proxy between a worker and the coordinator that can be told to cut, to
//! stall, to slow down, to tear a message in two and to swallow what one end says. It
//! knows nothing of what it passes on.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that are passed on at once.
const CHUNK: usize = 16 * 1024;

/// A proxy on a port of loopback.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    traffic: Mutex<Traffic>,
    changed: Condvar,
    links: Mutex<Vec<Link>>,
    /// The next chunk is passed on by half only.
    tearing: AtomicBool,
    torn: AtomicUsize,
    accepted: AtomicUsize,
    closing: AtomicBool,
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The worker's.
    Worker,
    /// The coordinator's.
    Coordinator,
}

/// How traffic flows.
#[derive(Debug, Default, Clone, Copy)]
struct Traffic {
    stalled: bool,
    /// The end that speaks in vain.
    swallowed: Option<End>,
    delay: Duration,
}

/// Both ends of one connection.
#[derive(Debug)]
struct Link {
    number: usize,
    worker: TcpStream,
    coordinator: TcpStream,
    /// Whether something of it was swallowed.
    lost: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `upstream`.
    pub fn start(upstream: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, upstream)),
            traffic: Mutex::default(),
            changed: Condvar::new(),
            links: Mutex::default(),
            tearing: AtomicBool::new(false),
            torn: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::Builder::new()
            .name(format!("proxy-{port}"))
            .spawn(move || accepting.accept(&listener))?;
        Ok(Self { port, shared })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        held(&self.shared.links).len()
    }

    /// Connections that were opened so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Closes every connection; says how many there were.
    pub fn cut(&self) -> usize {
        let links = held(&self.shared.links);
        links.iter().for_each(Link::close);
        links.len()
    }

    /// Passes the next chunk on by half and closes its connection.
    pub fn tear(&self) {
        self.shared.tearing.store(true, Ordering::Relaxed);
    }

    /// Tears nothing any more.
    pub fn stop_tearing(&self) {
        self.shared.tearing.store(false, Ordering::Relaxed);
    }

    /// Messages that were torn so far.
    pub fn torn(&self) -> usize {
        self.shared.torn.load(Ordering::Relaxed)
    }

    /// Passes nothing, or something again.
    pub fn stall(&self, stalled: bool) {
        held(&self.shared.traffic).stalled = stalled;
        self.shared.changed.notify_all();
    }

    /// Keeps connections open and loses what one end says, as a router does that has
    /// forgotten one way. Ends with `None`, which closes connections that have lost
    /// something.
    pub fn swallow(&self, end: Option<End>) {
        held(&self.shared.traffic).swallowed = end;
        if end.is_none() {
            let links = held(&self.shared.links);
            links
                .iter()
                .filter(|link| link.lossy())
                .for_each(Link::close);
        }
    }

    /// Passes every chunk after a delay.
    pub fn delay(&self, delay: Duration) {
        held(&self.shared.traffic).delay = delay;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.stall(false);
        self.cut();
        // Wakes the listening thread, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Link {
    fn lossy(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn close(&self) {
        // An end that is closed already is what is wanted.
        let _ = self.worker.shutdown(Shutdown::Both);
        let _ = self.coordinator.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for (number, stream) in listener.incoming().enumerate() {
            if self.closing.load(Ordering::Relaxed) {
                return;
            }
            // Whatever cannot be connected is dropped: the coordinator is away.
            if let Ok(worker) = stream {
                let _ = self.connect(number, worker);
            }
        }
    }

    fn connect(self: &Arc<Self>, number: usize, worker: TcpStream) -> io::Result<()> {
        let coordinator = TcpStream::connect(self.upstream)?;
        worker.set_nodelay(true)?;
        coordinator.set_nodelay(true)?;
        let pumps = [
            (End::Worker, worker.try_clone()?, coordinator.try_clone()?),
            (
                End::Coordinator,
                coordinator.try_clone()?,
                worker.try_clone()?,
            ),
        ];
        let lost = Arc::new(AtomicBool::new(false));
        self.accepted.fetch_add(1, Ordering::Relaxed);
        held(&self.links).push(Link {
            number,
            worker,
            coordinator,
            lost: Arc::clone(&lost),
        });
        for (end, from, to) in pumps {
            let (shared, lost) = (Arc::clone(self), Arc::clone(&lost));
            thread::Builder::new()
                .name(format!("pump-{number}"))
                .spawn(move || {
                    // Either end may be gone at any time; both are closed then.
                    let _ = shared.pump(end, from, to, &lost);
                    shared.forget(number);
                })?;
        }
        Ok(())
    }

    fn pump(
        &self,
        end: End,
        mut from: TcpStream,
        mut to: TcpStream,
        lost: &AtomicBool,
    ) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = from.read(&mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            self.hold_up();
            if held(&self.traffic).swallowed == Some(end) {
                lost.store(true, Ordering::Relaxed);
                continue;
            }
            if length > 1 && self.tearing.swap(false, Ordering::Relaxed) {
                to.write_all(&chunk[..length / 2])?;
                self.torn.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            to.write_all(&chunk[..length])?;
        }
    }

    /// Waits as long as the traffic is to be slow or stalled.
    fn hold_up(&self) {
        let mut traffic = held(&self.traffic);
        if !traffic.delay.is_zero() {
            let delay = traffic.delay;
            drop(traffic);
            thread::sleep(delay);
            traffic = held(&self.traffic);
        }
        drop(
            self.changed
                .wait_while(traffic, |traffic| traffic.stalled)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn forget(&self, number: usize) {
        held(&self.links).retain(|link| {
            if link.number == number {
                link.close();
            }
            link.number != number
        });
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::wait_until;

    /// Sends back what it gets.
    fn echo() -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(mut back) = stream.try_clone() else {
                    return;
                };
                thread::spawn(move || io::copy(&mut &stream, &mut back));
            }
        });
        Ok(port)
    }

    fn dial(proxy: &Proxy) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    #[test]
    fn passes_stalls_tears_and_cuts() {
        let proxy = Proxy::start(echo().unwrap()).unwrap();
        let mut stream = dial(&proxy).unwrap();
        let mut answer = [0; 4];
        stream.write_all(b"ping").unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");

        proxy.stall(true);
        stream.write_all(b"pong").unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        assert!(stream.read(&mut answer).is_err(), "a stalled proxy passed");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        proxy.stall(false);
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"pong");

        proxy.swallow(Some(End::Coordinator));
        stream.write_all(b"lost").unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        assert!(stream.read(&mut answer).is_err(), "a lost answer came");
        proxy.swallow(None);
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        assert!(
            stream.read_exact(&mut answer).is_err(),
            "a connection that lost something goes on"
        );

        let mut stream = dial(&proxy).unwrap();
        proxy.tear();
        stream.write_all(b"half").unwrap();
        assert!(
            stream.read_exact(&mut answer).is_err(),
            "a torn message came whole"
        );
        assert_eq!(proxy.torn(), 1);

        let mut stream = dial(&proxy).unwrap();
        stream.write_all(b"ping").unwrap();
        stream.read_exact(&mut answer).unwrap();
        let limit = Duration::from_secs(10);
        wait_until(limit, "one is open", || Ok(proxy.open() == 1)).unwrap();
        assert_eq!(proxy.cut(), 1);
        assert!(
            stream.read_exact(&mut answer).is_err(),
            "a cut connection answers"
        );
        assert_eq!(proxy.accepted(), 3);
    }
}
