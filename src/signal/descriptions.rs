//! What the signals of a run were made with. A signal carries an index into this list, since a name
//! and a table of parameters are too large for a ring.

use super::record::Described;
use std::sync::{Arc, PoisonError, RwLock};

/// Grows by one with every instance, and with every change of its parameters; nothing goes.
#[derive(Default)]
pub struct Descriptions(RwLock<Vec<Arc<Described>>>);

impl Descriptions {
    /// The index of a description; equal ones share it.
    pub fn add(&self, new: Described) -> u32 {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().position(|known| **known == new);
        known.unwrap_or_else(|| {
            all.push(Arc::new(new));
            all.len() - 1
        }) as u32
    }

    /// Panics where [`Descriptions::add`] never gave this index.
    pub fn get(&self, index: u32) -> Arc<Described> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&all[index as usize])
    }
}
