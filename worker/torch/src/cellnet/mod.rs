//! Networks stacked from a searched cell, trained on real images.
