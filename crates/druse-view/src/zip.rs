//! Zip archives of small files, stored as they are.

/// Bytes of an archive.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

fn u16s(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
}

fn u32s(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
}

/// Version that is needed to read it; names are UTF-8; stored; 1 January 1980, so that equal files are equal archives.
const HEAD: [u16; 5] = [20, 1 << 11, 0, 0, 0x21];

impl Archive {
    /// Files that an archive of this kind holds at most.
    pub const MOST_FILES: usize = u16::MAX as usize;

    /// Appends a file; `false` when the archive is full.
    pub fn add(&mut self, name: &str, content: &[u8]) -> bool {
        let sizes =
            (u32::try_from(self.bytes.len()), u32::try_from(content.len()), u16::try_from(name.len()));
        let (Ok(offset), Ok(size), Ok(length)) = sizes else { return false };
        let Some(count) = self.count.checked_add(1) else { return false };
        let crc = crc32fast::hash(content);
        u32s(&mut self.bytes, &[0x0403_4b50]);
        u16s(&mut self.bytes, &HEAD);
        u32s(&mut self.bytes, &[crc, size, size]);
        u16s(&mut self.bytes, &[length, 0]);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        u32s(&mut self.directory, &[0x0201_4b50]);
        u16s(&mut self.directory, &[20]);
        u16s(&mut self.directory, &HEAD);
        u32s(&mut self.directory, &[crc, size, size]);
        u16s(&mut self.directory, &[length, 0, 0, 0, 0]);
        u32s(&mut self.directory, &[0, offset]);
        self.directory.extend(name.as_bytes());
        self.count = count;
        true
    }

    /// The archive; `None` when it is larger than this kind can be.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        let start = u32::try_from(self.bytes.len()).ok()?;
        let size = u32::try_from(self.directory.len()).ok()?;
        self.bytes.extend(&self.directory);
        u32s(&mut self.bytes, &[0x0605_4b50]);
        u16s(&mut self.bytes, &[0, 0, self.count, self.count]);
        u32s(&mut self.bytes, &[size, start]);
        u16s(&mut self.bytes, &[0]);
        Some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the archive back by its directory, as programs do.
    fn read(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let u16_at = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let end = bytes.len() - 22;
        assert_eq!(u32_at(end), 0x0605_4b50);
        let mut at = u32_at(end + 16) as usize;
        let mut files = Vec::new();
        for _ in 0..u16_at(end + 10) {
            assert_eq!(u32_at(at), 0x0201_4b50);
            let (crc, size, name) = (u32_at(at + 16), u32_at(at + 24) as usize, u16_at(at + 28));
            let text = String::from_utf8(bytes[at + 46..at + 46 + name].to_vec()).unwrap();
            let local = u32_at(at + 42) as usize;
            assert_eq!(u32_at(local), 0x0403_4b50);
            let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
            let content = bytes[start..start + size].to_vec();
            assert_eq!(crc32fast::hash(&content), crc);
            files.push((text, content));
            at += 46 + name;
        }
        assert_eq!(at, end);
        files
    }

    #[test]
    fn archives_are_read_back() {
        let mut archive = Archive::default();
        assert!(archive.add("a.vasp", b"one") && archive.add("π.vasp", b""));
        let files = read(&archive.finish().unwrap());
        assert_eq!(files, [("a.vasp".to_owned(), b"one".to_vec()), ("π.vasp".to_owned(), Vec::new())]);
        assert!(read(&Archive::default().finish().unwrap()).is_empty());
    }
}
