//! Memory for rows of numbers, kept from crystal to crystal: asking the system for it anew takes a sixth of the time.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::real::Real;

/// Numbers that are kept at most: 256 MB in 32 bits.
const KEPT: usize = 1 << 26;

/// Where rows begin (bytes), so that vectors of the processor do not lie across its cache lines.
const ALIGNMENT: usize = 64;

/// Memory that is not in use.
#[derive(Debug, Default)]
pub(super) struct Memory<R> {
    free: Mutex<Vec<Vec<R>>>,
}

impl<R: Real> Memory<R> {
    /// Rows of zeros.
    pub fn zeros<const N: usize>(&self, rows: usize) -> Rows<'_, R, N> {
        let mut new = self.unset(rows);
        new.fill([R::default(); N]);
        new
    }

    /// Rows whose content is of no meaning.
    pub fn unset<const N: usize>(&self, rows: usize) -> Rows<'_, R, N> {
        let needed = rows * N + ALIGNMENT / size_of::<R>();
        let mut data = self.take(needed);
        if data.len() < needed {
            data.resize(needed, R::default());
        }
        let begin = data.as_ptr().align_offset(ALIGNMENT);
        // Never the case where pointers are numbers; rows are then just not aligned.
        let begin = if begin > needed - rows * N { 0 } else { begin };
        Rows { memory: self, data, begin, rows }
    }

    /// The smallest free piece that is large enough, or a new one.
    fn take(&self, needed: usize) -> Vec<R> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = free.iter().enumerate().filter(|(_, piece)| piece.capacity() >= needed);
        match enough.min_by_key(|(_, piece)| piece.capacity()).map(|(at, _)| at) {
            Some(at) => free.swap_remove(at),
            None => Vec::with_capacity(needed.next_power_of_two()),
        }
    }

    fn give(&self, piece: Vec<R>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.iter().map(Vec::capacity).sum::<usize>() + piece.capacity() <= KEPT {
            free.push(piece);
        }
    }
}

/// Rows of N numbers.
#[derive(Debug)]
pub(super) struct Rows<'a, R: Real, const N: usize> {
    memory: &'a Memory<R>,
    data: Vec<R>,
    begin: usize,
    rows: usize,
}

impl<R: Real, const N: usize> Deref for Rows<'_, R, N> {
    type Target = [[R; N]];

    fn deref(&self) -> &[[R; N]] {
        self.data[self.begin..self.begin + self.rows * N].as_chunks().0
    }
}

impl<R: Real, const N: usize> DerefMut for Rows<'_, R, N> {
    fn deref_mut(&mut self) -> &mut [[R; N]] {
        self.data[self.begin..self.begin + self.rows * N].as_chunks_mut().0
    }
}

impl<R: Real, const N: usize> Drop for Rows<'_, R, N> {
    fn drop(&mut self) {
        self.memory.give(std::mem::take(&mut self.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_comes_clean() {
        let memory = Memory::<f32>::default();
        let mut rows = memory.zeros::<8>(100);
        assert_eq!((rows.len(), rows.as_ptr() as usize % ALIGNMENT), (100, 0));
        rows.fill([3.0; 8]);
        let place = rows.as_ptr() as usize;
        drop(rows);
        let again = memory.zeros::<4>(150);
        assert_eq!(again.as_ptr() as usize, place);
        assert!(again.iter().flatten().all(|&x| x == 0.0));
        let other = memory.unset::<4>(10);
        assert_ne!(other.as_ptr() as usize, place);
        drop((again, other));
        assert!(memory.zeros::<64>(0).is_empty());
    }
}
