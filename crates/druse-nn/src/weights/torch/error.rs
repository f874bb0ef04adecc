//! What can be wrong with a pickle.

/// Why bytes are no pickle that this reader accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The bytes end inside the pickle.
    #[error("it ends in the middle of an instruction or before the last one")]
    Truncated,
    /// An instruction that does not exist, or that only other protocols have.
    #[error("the instruction {0:#04x} is unknown or belongs to a protocol other than 2 to 5")]
    Opcode(u8),
    /// Another protocol.
    #[error("protocol {0}, expected 2 to 5")]
    Protocol(u8),
    /// An instruction takes values that nobody put there.
    #[error("an instruction finds too few values on the stack")]
    Stack,
    /// An instruction finds a value of another type than it works on.
    #[error("an instruction expects {0}, but finds something else")]
    Type(&'static str),
    /// A reference to a value that was not remembered.
    #[error("value number {0} is referred to, but was never stored")]
    Memo(u32),
    /// Text that is no UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// More values than any checkpoint needs.
    #[error("it makes more than {limit} values")]
    TooMany {
        /// The largest number that is read.
        limit: usize,
    },
    /// A tensor whose description contradicts itself.
    #[error("it describes a tensor {0}")]
    Tensor(String),
}
