//! Metrics of generation under the protocols of the field.
