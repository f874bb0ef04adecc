//! The CrystalNN site fingerprint (61 order-parameter features) and its mean over the sites of a crystal.
