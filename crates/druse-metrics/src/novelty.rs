//! Uniqueness within a generated set and novelty against a training set.
