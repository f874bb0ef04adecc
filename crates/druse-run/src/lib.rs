//! Training loop, checkpoints and sampling driver.
