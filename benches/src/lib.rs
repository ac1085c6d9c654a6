//! Criterion benches of the single layers; see `benches/`.
