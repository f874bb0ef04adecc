//! Internal consistency of CrysTens image tensors.
