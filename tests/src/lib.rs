//! End-to-end tests of the Perilune server; see `tests/`.
