//! Structure matching: whether two crystals are the same within tolerances, and how far apart.
