//! Magpie composition features (132) and their fixed normalisation.
