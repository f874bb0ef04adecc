//! Crystal data sets: reading, packed cache, splits, statistics, download.
