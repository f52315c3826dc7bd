//! Work that keeps a processor busy and that nobody waits for within milliseconds:
//! records of an export, plans, snapshots. It has threads of its own, of low priority,
//! so that commits and acknowledgements come first where there are too few processors.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// How far the priority is lowered, as `nice` counts: such a thread gets a tenth of
/// what another one gets that competes with it.
const NICENESS: i32 = 10;

/// Threads besides one for each processor: a compaction holds one for some seconds.
const SPARE: usize = 2;

/// The threads. They end with the process.
fn threads() -> Result<&'static Handle, &'static std::io::Error> {
    static THREADS: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
        Builder::new_multi_thread()
            // Only what blocks runs here.
            .worker_threads(1)
            .max_blocking_threads(most())
            .thread_name("background")
            .on_thread_start(|| {
                // Without it the work is done as well. On Linux this is of the thread alone.
                let _ = rustix::process::nice(NICENESS);
            })
            .build()
    });
    THREADS.as_ref().map(Runtime::handle)
}

/// How many threads there are at most.
fn most() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + SPARE
}

/// Does some work in the background; panics as it does. Work that nobody waits for any
/// more before its turn comes is not begun.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(most())));
    let room = Arc::clone(&ROOM).acquire_owned().await;
    let work = move || {
        let _room = room;
        work()
    };
    let done = match threads() {
        Ok(threads) => threads.spawn_blocking(work),
        Err(error) => {
            tracing::debug!(%error, "no threads for the background");
            tokio::task::spawn_blocking(work)
        }
    };
    match done.await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Polls a future in the background: what blocks in it blocks nobody, and threads that
/// it starts have the low priority too. It must not need the caller's own task.
pub(crate) async fn run_future<F>(future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let runtime = Handle::current();
    run(move || runtime.block_on(future)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    fn niceness() -> i32 {
        rustix::process::nice(0).unwrap()
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn background_work_and_what_it_starts_come_last() {
        let here = niceness();
        let (there, inherited) = run(|| {
            let started = std::thread::spawn(niceness);
            (niceness(), started.join().unwrap())
        })
        .await;
        // 19 is as far as it goes.
        let expected = (here + NICENESS).min(19);
        assert_eq!((there, inherited), (expected, expected));
        assert_eq!(niceness(), here, "the caller keeps its own");
    }

    #[tokio::test]
    async fn a_future_that_waits_for_another_task_ends() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn(run_future(receiver));
        sender.send(7).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
    }
}
