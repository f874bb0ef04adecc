//! Success rates of property optimisation.
