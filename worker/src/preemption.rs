//! The cloud's notice that this machine is about to be taken away.
//!
//! A stop by the system's service manager comes as SIGTERM, here and everywhere;
//! Google Cloud's metadata server says it some seconds earlier
//! (<https://cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption>).

use std::fs;
use std::time::Duration;

use clap::ValueEnum;

/// Host of the metadata server; `GCE_METADATA_HOST` names another one, as for
/// Google's own libraries.
const METADATA_HOST: &str = "metadata.google.internal";

/// Wait after a question that was not answered.
const RETRY_WAIT: Duration = Duration::from_secs(5);

/// Least time between two questions.
const PACE: Duration = Duration::from_secs(1);

/// Longest time that one question is held open, in seconds.
const HOLD_SECONDS: u64 = 60;

/// Where a notice may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NoticeSource {
    /// Google Cloud's metadata server where the machine is one of theirs.
    Auto,
    /// Google Cloud's metadata server.
    Google,
    /// SIGTERM only.
    Off,
}

/// Returns when the machine is about to be taken away; never, where nobody says
/// so.
pub async fn notice(source: NoticeSource) {
    let asked = match source {
        NoticeSource::Auto => is_google_machine(),
        NoticeSource::Google => true,
        NoticeSource::Off => false,
    };
    if !asked {
        std::future::pending::<()>().await;
    }
    let host = std::env::var("GCE_METADATA_HOST").unwrap_or_else(|_| METADATA_HOST.to_owned());
    preempted(&host).await;
}

fn is_google_machine() -> bool {
    fs::read_to_string("/sys/class/dmi/id/product_name")
        .is_ok_and(|name| name.trim() == "Google Compute Engine")
}

/// Asks until the answer is yes. Each question after the first is held open by
/// the server until the answer changes.
async fn preempted(host: &str) {
    // The client wants one although this address is never reached through TLS;
    // an error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let mut hold = String::new();
    loop {
        let url = format!("http://{host}/computeMetadata/v1/instance/preempted{hold}");
        let asked = client
            .get(url)
            .header("Metadata-Flavor", "Google")
            .timeout(Duration::from_secs(HOLD_SECONDS + 10))
            .send()
            .await;
        let answer = match asked.and_then(reqwest::Response::error_for_status) {
            Ok(response) => response.text().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) if answer.trim().eq_ignore_ascii_case("true") => return,
            Ok(_) => {
                hold = format!("?wait_for_change=true&timeout_sec={HOLD_SECONDS}");
                // A server that does not hold questions open is not flooded.
                tokio::time::sleep(PACE).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the metadata server does not answer");
                tokio::time::sleep(RETRY_WAIT).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A metadata server that gives these answers and then none; returns what it
    /// was asked.
    async fn serve(listener: TcpListener, answers: &[&str]) -> std::io::Result<Vec<String>> {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await?;
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await?;
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            asked.push(text);
            let response = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            );
            stream.write_all(response.as_bytes()).await?;
        }
        Ok(asked)
    }

    #[tokio::test]
    async fn the_notice_comes_when_the_flag_turns() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(serve(listener, &["FALSE", "FALSE", "TRUE"]));
        tokio::time::timeout(Duration::from_secs(20), preempted(&host))
            .await
            .unwrap();
        let asked = server.await.unwrap().unwrap();
        assert!(asked.iter().all(|request| {
            request
                .to_ascii_lowercase()
                .contains("metadata-flavor: google")
        }));
        assert!(!asked[0].contains("wait_for_change"));
        assert!(asked[1].contains("wait_for_change=true"), "{}", asked[1]);
    }
}
