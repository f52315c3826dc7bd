//! The services that other programs look for: health and reflection.

use reprise_coordinator::instance::{Config, Instance};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn health_and_reflection_answer() {
    let state = tempfile::tempdir().unwrap();
    let instance = Instance::start(Config::local(state.path())).await.unwrap();
    let endpoint = Endpoint::from_shared(instance.url()).unwrap();
    let channel = endpoint.connect().await.unwrap();

    let mut health = HealthClient::new(channel.clone());
    for service in ["", "reprise.v1.StudyService", "reprise.v1.WorkerService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }

    let mut reflection = ServerReflectionClient::new(channel);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(tokio_stream::iter([ask]))
        .await;
    let answer = answers
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for name in [
        "grpc.health.v1.Health",
        "reprise.v1.ArtifactService",
        "reprise.v1.OperationService",
        "reprise.v1.StudyService",
        "reprise.v1.TaskService",
        "reprise.v1.WorkerService",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    instance.shutdown.cancel();
    instance.stopped.await.unwrap().unwrap();
}
