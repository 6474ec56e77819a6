//! Reads numbers and strings from the bytes of a pickle.

use super::*;

impl<R: Read> Machine<R> {
    pub(super) fn text(&mut self, n: u64) -> Outcome<()> {
        let text = String::from_utf8(self.bytes(n)?).map_err(|_| malformed("a string is not UTF-8"))?;
        self.push(Value::Text(text))
    }

    pub(super) fn line(&mut self) -> Outcome<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() == MOST_LETTERS => {
                    return Err(malformed("a name has more than 1,024 letters"));
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

    pub(super) fn ended(&self, error: io::Error) -> PickleError {
        if self.reader.limit() == 0 {
            PickleError::TooLarge("its pickle has more than 64 MiB")
        } else {
            error.into()
        }
    }
}
