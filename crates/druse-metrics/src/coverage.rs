//! Coverage of a reference set by a generated set and the mean minimum distances (COV, AMSD, AMCD).
