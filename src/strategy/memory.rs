//! What an instance remembers, as bytes, so that a restart goes on where the run before stood.
//! Nobody implements this: a strategy derives `Serialize` and `Deserialize`, and has it.
//!
//! The bytes hold no names (postcard), so they are only read by the same code: the engine keeps
//! them under the digest of the strategy's file and of the indicators'.

use serde::Serialize;
use serde::de::DeserializeOwned;

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved over a restart",
    note = "put #[derive(Serialize, Deserialize)] before the struct, and before those in it"
)]
pub trait Memory {
    /// Appends all that the instance remembers; an error empties the buffer.
    fn save(&self, into: &mut Vec<u8>) -> Result<(), postcard::Error>;
    /// Takes over what was saved; on an error the instance is as it was.
    fn restore(&mut self, saved: &[u8]) -> Result<(), postcard::Error>;
}

impl<T: Serialize + DeserializeOwned> Memory for T {
    // COLD: once a minute and instrument, into a buffer that is used again.
    fn save(&self, into: &mut Vec<u8>) -> Result<(), postcard::Error> {
        *into = postcard::to_extend(self, std::mem::take(into))?;
        Ok(())
    }

    // COLD: at start.
    fn restore(&mut self, saved: &[u8]) -> Result<(), postcard::Error> {
        *self = postcard::from_bytes(saved)?;
        Ok(())
    }
}
