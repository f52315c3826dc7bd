//! Tests of the Kubernetes engine against a program that answers like `kubectl`.
