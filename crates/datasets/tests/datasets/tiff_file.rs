//! TIFF files for tests: one strip, not compressed, any channels and values.

/// What a file holds beside its samples.
pub(crate) struct TiffFile<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) n_channels: u16,
    pub(crate) bits: u16,
    /// 1 for integers, 2 for those with a sign, 3 for floats.
    pub(crate) format: u16,
    /// 1 for gray and whatever else, 2 for RGB.
    pub(crate) photometric: u16,
    /// The kinds of channels behind gray or RGB; 0 is unspecified.
    pub(crate) extra: &'a [u16],
    /// Samples as they lie in the file, little-endian.
    pub(crate) samples: Vec<u8>,
}

impl TiffFile<'_> {
    /// The file, with the same page so many times.
    pub(crate) fn bytes(&self, n_pages: usize) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        for page in 0..n_pages {
            let mut entries: Vec<(u16, Vec<u16>)> = vec![
                (258, vec![self.bits; usize::from(self.n_channels)]),
                (259, vec![1]),
                (262, vec![self.photometric]),
                (277, vec![self.n_channels]),
                (338, self.extra.to_vec()),
                (339, vec![self.format; usize::from(self.n_channels)]),
            ];
            entries.retain(|(_, values)| !values.is_empty());
            let n_entries = entries.len() + 5;
            let values_at = bytes.len() + 2 + 12 * n_entries + 4;
            let n_value_bytes: usize =
                entries.iter().map(|(_, values)| values.len() * 2).filter(|n| *n > 4).sum();
            let samples_at = values_at + n_value_bytes;
            let longs = [
                (256, self.width),
                (257, self.height),
                (273, samples_at as u32),
                (278, self.height),
                (279, self.samples.len() as u32),
            ];
            let mut table: Vec<(u16, u16, u32, [u8; 4])> =
                longs.map(|(tag, value)| (tag, 4, 1, value.to_le_bytes())).to_vec();
            let mut values_behind = Vec::new();
            for (tag, values) in entries {
                let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let mut field = [0; 4];
                if data.len() > 4 {
                    field = ((values_at + values_behind.len()) as u32).to_le_bytes();
                    values_behind.extend(data);
                } else {
                    field[..data.len()].copy_from_slice(&data);
                }
                table.push((tag, 3, values.len() as u32, field));
            }
            table.sort_unstable();
            bytes.extend((n_entries as u16).to_le_bytes());
            for (tag, kind, count, field) in table {
                bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
                bytes.extend(count.to_le_bytes());
                bytes.extend(field);
            }
            let next = if page + 1 < n_pages { samples_at + self.samples.len() } else { 0 };
            bytes.extend((next as u32).to_le_bytes());
            bytes.extend(values_behind);
            bytes.extend(&self.samples);
        }
        bytes
    }
}

/// Channels of 16 bits, gray in the first as far as the file says.
pub(crate) fn words(width: u32, n_channels: u16, values: &[u16]) -> Vec<u8> {
    TiffFile {
        width,
        height: values.len() as u32 / u32::from(n_channels) / width,
        n_channels,
        bits: 16,
        format: 1,
        photometric: 1,
        extra: &[],
        samples: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
    .bytes(1)
}

/// One channel of floats, or three.
pub(crate) fn floats(width: u32, n_channels: u16, values: &[f32]) -> Vec<u8> {
    TiffFile {
        width,
        height: values.len() as u32 / u32::from(n_channels) / width,
        n_channels,
        bits: 32,
        format: 3,
        photometric: if n_channels == 3 { 2 } else { 1 },
        extra: &[],
        samples: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
    .bytes(1)
}
