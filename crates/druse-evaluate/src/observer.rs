//! What the drivers tell whoever watches them.

/// How far a stage of the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// What is done: `features of the generated set`.
    pub stage: &'a str,
    /// Structures or pairs that are done.
    pub done: usize,
    /// Structures or pairs in all; 0 when it cannot be told.
    pub total: usize,
}

impl<'a> Progress<'a> {
    /// So many of so many are done.
    pub fn new(stage: &'a str, done: usize, total: usize) -> Self {
        Self { stage, done, total }
    }
}

/// Receives the progress; drivers print nothing themselves.
pub trait Observer {
    /// Takes note of it.
    fn observe(&mut self, progress: Progress<'_>);
}

impl<F: FnMut(Progress<'_>)> Observer for F {
    fn observe(&mut self, progress: Progress<'_>) {
        self(progress);
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&mut self, _: Progress<'_>) {}
}
