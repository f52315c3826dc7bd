//! Archives: what is stored of a study, out of a coordinator and back in.

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use reprise_domain::record::{ArchivedResult, Unarchived};
use reprise_domain::{Digest, StudyName};
use reprise_proto::pb::unarchive_request::Request;
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_proto::{convert, pb};

use super::{Client, request, typed};
use crate::artifact::MAX_BYTES;

impl Client {
    /// What is stored of a study's finished tasks, in plan order.
    pub async fn archive(
        &mut self,
        study: &StudyName,
    ) -> Result<impl Stream<Item = Result<ArchivedResult, ApiError>> + use<>, ApiError> {
        let response = self.clients.study.archive(request(study)).await;
        let results = response.map_err(typed)?.into_inner().map_err(typed);
        Ok(results
            .map(|result| Ok(ArchivedResult::try_from(result?)?))
            .boxed())
    }

    /// Takes results back into a study. Their files must be stored.
    pub async fn unarchive(
        &mut self,
        study: &StudyName,
        results: impl Stream<Item = ArchivedResult> + Send + 'static,
    ) -> Result<Unarchived, ApiError> {
        let first = Request::Study(study.to_string());
        let results = results.map(|result| Request::Result((&result).into()));
        let requests = futures::stream::iter([first]).chain(results);
        let requests = requests.map(|request| pb::UnarchiveRequest {
            request: Some(request),
        });
        let response = self.clients.study.unarchive(requests).await;
        Ok(response.map_err(typed)?.into_inner().try_into()?)
    }

    /// Reads a file of the shared area into memory, and checks it.
    pub async fn artifact(&mut self, digest: Digest) -> Result<Vec<u8>, ApiError> {
        let asked = pb::GetRequest {
            digest: convert::digest_bytes(digest),
            attempt: None,
        };
        let response = self.clients.artifact.get(asked).await.map_err(typed)?;
        let mut chunks = response.into_inner().map_err(typed);
        let mut content = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            content.extend(chunk.data);
            if content.len() as u64 > MAX_BYTES {
                return Err(ApiError::new(
                    ErrorCode::TooLarge,
                    format_args!("artifact `{digest}` has more than `{MAX_BYTES}` bytes"),
                ));
            }
        }
        if reprise_data::digest(&content) != digest {
            return Err(ApiError::new(
                ErrorCode::Corrupt,
                format_args!("artifact `{digest}` arrived damaged"),
            ));
        }
        Ok(content)
    }
}
