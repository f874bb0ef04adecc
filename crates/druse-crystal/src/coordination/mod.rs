//! Coordination of sites: periodic Voronoi cells and the CrystalNN near-neighbour rule.
