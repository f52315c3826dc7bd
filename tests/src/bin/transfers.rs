//! Many peers that fetch one artifact together, then many that store one: how much
//! memory the coordinator takes, and how long. Fails when it takes too much.
//!
//! Every peer has a connection of its own, as workers do, and checks what it gets.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use reprise_domain::Digest;
use reprise_domain::measure::ArtifactRef;
use reprise_proto::client::{Clients, connect};
use reprise_proto::convert;
use reprise_proto::pb::{GetRequest, PutChunk};
use reprise_proto::status::ApiError;
use reprise_tests::fleet::Fleet;
use reprise_tests::process::memory_kb;

/// Bytes that a peer sends at once.
const PIECE_BYTES: usize = 256 << 10;

/// Time between two tries of an upload that the coordinator has no room for.
const UPLOAD_WAIT: Duration = Duration::from_millis(500);

/// Many transfers of one artifact.
#[derive(Debug, Parser)]
struct Args {
    /// Peers that fetch it together.
    #[arg(long, default_value_t = 1000)]
    fetch: usize,
    /// Peers that store it together.
    #[arg(long, default_value_t = 256)]
    store: usize,
    /// Its size in bytes: an embedding of NAS-Bench-101.
    #[arg(long, default_value_t = 27_000_000)]
    bytes: usize,
    /// Most memory that the coordinator may take, in MB.
    #[arg(long, default_value_t = 200.0)]
    limit: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let directory = tempfile::tempdir()?;
    let mut fleet = Fleet::local(directory.path(), 0)?;
    fleet.serve()?;
    let coordinator = fleet.coordinator.id();
    let coordinator = coordinator.context("the coordinator has ended")?;
    let content: Arc<[u8]> = (0..args.bytes)
        .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8)
        .collect();
    let artifact = ArtifactRef {
        digest: Digest::from_bytes(*blake3::hash(&content).as_bytes()),
        bytes: content.len() as u64,
    };
    let first = connect(fleet.url(), None).await?;
    let idle = memory_kb(coordinator, "VmRSS:")? / 1e3;
    store(first, artifact, Arc::clone(&content)).await?;

    let fetching = |clients| fetch(clients, artifact.digest);
    let seconds = together(fleet.url(), args.fetch, fetching).await?;
    let fetched = memory_kb(coordinator, "VmHWM:")? / 1e3;
    say(&format!(
        "{} peers fetched {} bytes each in {seconds:.1} s ({:.0} MB/s); coordinator: at most \
         {fetched:.0} MB resident, {idle:.0} MB before",
        args.fetch,
        args.bytes,
        (args.fetch * args.bytes) as f64 / seconds / 1e6
    ));

    let refused = Arc::new(AtomicU64::new(0));
    let storing = |clients| store_in_time(clients, artifact, Arc::clone(&content), refused.clone());
    let seconds = together(fleet.url(), args.store, storing).await?;
    let stored = memory_kb(coordinator, "VmHWM:")? / 1e3;
    say(&format!(
        "{} peers stored {} bytes each in {seconds:.1} s, asked {} times to try later; \
         coordinator: at most {stored:.0} MB resident",
        args.store,
        args.bytes,
        refused.load(Ordering::Relaxed)
    ));
    fleet.coordinator.kill()?;
    if stored > args.limit {
        say(&format!("more than the limit of {:.0} MB", args.limit));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Connects so many peers, then lets all of them begin; the seconds until the last
/// has ended.
async fn together<F>(
    url: &str,
    peers: usize,
    transfer: impl Fn(Clients) -> F,
) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut connected = Vec::with_capacity(peers);
    for _ in 0..peers {
        connected.push(connect(url, None).await?);
    }
    let begun = Instant::now();
    let transfers: Vec<_> = connected
        .into_iter()
        .map(|clients| tokio::spawn(transfer(clients)))
        .collect();
    for transfer in transfers {
        transfer.await??;
    }
    Ok(begun.elapsed().as_secs_f64())
}

async fn fetch(mut clients: Clients, expected: Digest) -> anyhow::Result<()> {
    let request = GetRequest {
        digest: convert::digest_bytes(expected),
        attempt: None,
    };
    let mut stream = clients.artifact.get(request).await?.into_inner();
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = stream.message().await? {
        hasher.update(&chunk.data);
    }
    ensure!(
        hasher.finalize().as_bytes() == expected.as_bytes(),
        "other content arrived"
    );
    Ok(())
}

async fn store_in_time(
    clients: Clients,
    artifact: ArtifactRef,
    content: Arc<[u8]>,
    refused: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    while let Err(error) = store(clients.clone(), artifact, Arc::clone(&content)).await {
        if !error.is_retryable() {
            return Err(error.into());
        }
        refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(UPLOAD_WAIT).await;
    }
    Ok(())
}

async fn store(
    mut clients: Clients,
    artifact: ArtifactRef,
    content: Arc<[u8]>,
) -> Result<(), ApiError> {
    let first = PutChunk {
        artifact: Some(artifact.into()),
        ..PutChunk::default()
    };
    let pieces = (0..content.len()).step_by(PIECE_BYTES).map(move |start| {
        let end = content.len().min(start + PIECE_BYTES);
        PutChunk {
            data: content[start..end].to_vec(),
            ..PutChunk::default()
        }
    });
    let chunks = std::iter::once(first).chain(pieces);
    let stored = clients.artifact.put(tokio_stream::iter(chunks)).await;
    stored.map(drop).map_err(|status| ApiError::from(&status))
}

#[expect(clippy::print_stdout, reason = "the program's report")]
fn say(line: &str) {
    println!("{line}");
}
