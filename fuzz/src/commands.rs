//! Decoder, encoder and text of commands; the view of a queue.
//!
//! Rule: a command and what was reserved in it are all of its bits; a queue is left after as many commands as it holds.

use arbitrary::Arbitrary;
use vgic_state::its::command::{CommandQueue, Decoded, ErrorWord, ItsCommand, Unreadable, Version};
use vgic_state::{GuestMemoryRead, MemoryError};

#[derive(Arbitrary, Debug)]
struct Input {
    version: u8,
    typer: u64,
    cbaser: u64,
    creadr: u64,
    cwriter: u64,
    /// Memory ends here, from the start of the queue.
    end: u32,
    commands: Vec<[u64; 4]>,
}

/// The same commands again and again.
struct Memory<'a>(u64, &'a Input);

impl GuestMemoryRead for Memory<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let Some(at) = address.checked_sub(self.0).filter(|at| *at < self.1.end.into()) else {
            return Err(MemoryError::NotMemory);
        };
        let count = self.1.commands.len();
        let words = if count == 0 { [0; 4] } else { self.1.commands[(at / 32) as usize % count] };
        bytes.copy_from_slice(words.map(u64::to_le_bytes).as_flattened());
        Ok(())
    }
}

pub const VERSIONS: [Version; 3] = [Version::V3, Version::V40, Version::V41];

/// Everything that holds for any four words.
pub fn decode(words: [u64; 4], version: Version) -> Option<Decoded> {
    let decoded = match ItsCommand::decode(words, version) {
        Ok(decoded) => decoded,
        Err(unknown) => {
            assert_eq!(unknown.opcode, words[0] as u8);
            return None;
        }
    };
    let Decoded { command, reserved } = decoded;
    let encoded = command.encode();
    for ((encoded, reserved), word) in encoded.into_iter().zip(reserved).zip(words) {
        assert_eq!((encoded | reserved, encoded & reserved), (word, 0));
    }
    assert_eq!(ItsCommand::decode(encoded, version), Ok(Decoded { command, reserved: [0; 4] }));
    assert_eq!(command.to_bytes().as_slice(), encoded.map(u64::to_le_bytes).as_flattened());
    assert_eq!(u64::from(command.opcode()), words[0] & 0xff);
    let text = decoded.to_string();
    assert!(text.starts_with(command.name()) && text.len() < 512);
    Some(decoded)
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    for words in &input.commands {
        let [v3, v40, v41] = VERSIONS.map(|version| decode(*words, version));
        // A later version has what an earlier one has, in its form or another.
        assert!(v40.is_some() >= v3.is_some() && v41.is_some() >= v40.is_some());
        assert!(v3.is_none_or(|decoded| Some(decoded) == v41));
        drop(ErrorWord::new(words[0] as u8, words[1] as u8).to_string());
    }
    let limits = vgic_state::forward::IdLimits::from_typer(input.typer);
    assert!((1..=32).contains(&limits.device_bits) && (1..=32).contains(&limits.event_bits));
    let version = VERSIONS[usize::from(input.version) % 3];
    let queue = match CommandQueue::new(input.cbaser, input.creadr, input.cwriter) {
        Ok(queue) => queue,
        Err(error) => return drop(error.to_string()),
    };
    let range = queue.range();
    let offsets: Vec<u64> = queue.offsets().collect();
    assert_eq!(offsets.len() as u64, queue.len());
    assert!(queue.len() < 32768 && queue.is_empty() == offsets.is_empty());
    assert!(offsets.iter().all(|offset| offset % 32 == 0 && range.start + offset + 32 <= range.end));
    assert!(queue.addresses().eq(offsets.iter().map(|offset| range.start + offset)));
    let memory = Memory(range.start, &input);
    let mut left = offsets.iter();
    // The rest would be the same again.
    for queued in queue.commands(&memory, version).take(256) {
        assert_eq!(Some(&queued.offset), left.next());
        match queued.decoded {
            Ok(decoded) => assert!(ItsCommand::decode(decoded.command.encode(), version).is_ok()),
            Err(Unreadable::NoMemory { address }) => assert!(address - range.start >= input.end.into()),
            Err(_) => {}
        }
    }
    assert_eq!(left.len() as u64, queue.len().saturating_sub(256));
}
