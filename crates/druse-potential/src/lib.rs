//! Universal potentials of crystals.
