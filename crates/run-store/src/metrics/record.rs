//! Records: the framing of TensorFlow's event files.

use crc::{CRC_32_ISCSI, Crc};

/// CRC-32C.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Appends a record of `payload` to `bytes`: its length and the length's checksum, then the payload and its checksum.
pub(super) fn append_record(bytes: &mut Vec<u8>, payload: &[u8]) {
    let length = (payload.len() as u64).to_le_bytes();
    bytes.extend(length);
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(payload);
    bytes.extend(masked_crc(payload).to_le_bytes());
}

/// The payload of the record that `bytes` begins with, which are then those after it; `None` if there is none that is whole and
/// has the right checksums.
pub(super) fn split_record<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    fn checked<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let content = bytes.split_off(..length)?;
        let checksum = bytes.split_off(..4)?;
        (masked_crc(content).to_le_bytes() == checksum).then_some(content)
    }
    let mut rest = *bytes;
    let length = u64::from_le_bytes(checked(&mut rest, 8)?.try_into().ok()?);
    let payload = checked(&mut rest, usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(payload)
}

/// TensorFlow masks checksums, because the data may contain checksums themselves.
pub(super) fn masked_crc(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_one_that_tensorboard_computes() {
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
        // `tensorboard.summary.writer.record_writer.masked_crc32c(b"123456789")`
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn a_record_is_length_checksum_payload_checksum() {
        let mut bytes = vec![];
        append_record(&mut bytes, b"123456789");
        assert_eq!(bytes[..8], [9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[8..12], masked_crc(&bytes[..8]).to_le_bytes());
        assert_eq!(bytes[12..21], *b"123456789");
        assert_eq!(bytes[21..], 0xc78a_b0e5_u32.to_le_bytes());
    }
}
