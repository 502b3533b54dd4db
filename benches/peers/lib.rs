//! Nothing: the benches are all that this package has.
