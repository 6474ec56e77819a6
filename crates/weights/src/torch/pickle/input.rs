//! Reads numbers and strings from the bytes of a pickle.

use super::*;

/// Letters of a number that is written out.
const MOST_DIGITS: usize = 1024;

impl<R: Read> Machine<R> {
    /// The number of an instruction that has one.
    pub(super) fn number(&mut self, opcode: u8) -> Outcome<Value> {
        Ok(match opcode {
            BININT => Value::Int(i32::from_le_bytes(self.array()?).into()),
            BININT1 => Value::Int(self.byte()?.into()),
            BININT2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            LONG1 => {
                let n = self.byte()?;
                long(self.bytes(n.into())?)
            }
            LONG4 => {
                let n = u32::from_le_bytes(self.array()?);
                long(self.bytes(n.into())?)
            }
            BINFLOAT => Value::Float(f64::from_be_bytes(self.array()?)),
            _ => written(&self.line(MOST_DIGITS as u64)?)?,
        })
    }

    /// The string of an instruction that has one.
    pub(super) fn string(&mut self, opcode: u8) -> Outcome<Value> {
        let n = match opcode {
            STRING | UNICODE => {
                let line = self.line(MOST_BYTES)?;
                return Ok(Value::Text(line.trim_matches(['\'', '"']).into()));
            }
            SHORT_BINSTRING | SHORT_BINUNICODE | SHORT_BINBYTES => u64::from(self.byte()?),
            BINUNICODE8 | BINBYTES8 | BYTEARRAY8 => u64::from_le_bytes(self.array()?),
            _ => u32::from_le_bytes(self.array()?).into(),
        };
        let bytes = self.bytes(n)?;
        match opcode {
            BINBYTES | SHORT_BINBYTES | BINBYTES8 | BYTEARRAY8 => Ok(Value::Bytes(bytes)),
            // Python 2 wrote bytes so.
            BINSTRING | SHORT_BINSTRING => match String::from_utf8(bytes) {
                Ok(text) => Ok(Value::Text(text.into())),
                Err(error) => Ok(Value::Bytes(error.into_bytes())),
            },
            _ => {
                let text = String::from_utf8(bytes).map_err(|_| malformed("a string is not UTF-8"))?;
                Ok(Value::Text(text.into()))
            }
        }
    }

    /// A place in the memo, written out.
    pub(super) fn place_in_memo(&mut self) -> Outcome<u32> {
        let line = self.line(MOST_DIGITS as u64)?;
        line.trim().parse().map_err(|_| malformed("a memo entry is not a number"))
    }

    /// A name, up to the end of its line.
    pub(super) fn name(&mut self) -> Outcome<String> {
        self.line(MOST_LETTERS as u64)
    }

    /// What lies before the end of the line: at most `most` bytes.
    fn line(&mut self, most: u64) -> Outcome<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() as u64 == most => {
                    return Err(malformed(format!("a name has more than {most} letters")));
                }
                letter => line.push(letter),
            }
        }
    }

    pub(super) fn byte(&mut self) -> Outcome<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| self.ended(error))?;
        Ok(bytes)
    }

    /// Grows as bytes are read, so that a wrong length costs nothing.
    pub(super) fn bytes(&mut self, n: u64) -> Outcome<Vec<u8>> {
        let mut bytes = Vec::new();
        let found = self.reader.by_ref().take(n).read_to_end(&mut bytes)?;
        if found as u64 == n { Ok(bytes) } else { Err(self.ended(io::ErrorKind::UnexpectedEof.into())) }
    }

    fn ended(&self, error: io::Error) -> PickleError {
        if self.reader.limit() == 0 {
            PickleError::TooLarge("its pickle has more than 64 MiB")
        } else {
            error.into()
        }
    }
}

/// An integer, little-endian and signed.
pub(super) fn long(bytes: Vec<u8>) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut all = [sign; 8];
    all[..bytes.len()].copy_from_slice(&bytes);
    Value::Int(i64::from_le_bytes(all))
}

/// A number in digits, as protocol 0 has them: `5`, `5L`, `1.5`, and `00` and `01` for the two truth values.
fn written(text: &str) -> Outcome<Value> {
    let text = text.trim();
    match text {
        "00" => return Ok(Value::Bool(false)),
        "01" => return Ok(Value::Bool(true)),
        _ => {}
    }
    let digits = text.strip_suffix('L').unwrap_or(text);
    match (digits.parse(), digits.parse()) {
        (Ok(value), _) => Ok(Value::Int(value)),
        (_, Ok(value)) => Ok(Value::Float(value)),
        _ => Err(malformed("a number is not one")),
    }
}
