//! The graph autoencoder.
