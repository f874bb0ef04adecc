//! Space-group and site-symmetry statistics of a set of crystals.
