//! Structure and composition validity.
