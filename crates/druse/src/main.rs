//! The druse command line.
fn main() {}
