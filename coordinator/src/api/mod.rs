//! What the coordinator offers to others: gRPC for workers and clients.

pub mod grpc;
