//! The stack, the marks and the memo, none of which can grow without end.

use super::*;

impl<R: Read> Machine<R> {
    /// Counts what is about to take as much memory as `n` values.
    pub(super) fn spend(&mut self, n: usize) -> Outcome<()> {
        self.n_spent = self.n_spent.saturating_add(n);
        let n_read = (MOST_BYTES - self.reader.limit()) as usize;
        match self.n_spent > MOST_VALUES.min(ALWAYS_VALUES + n_read / 2) {
            true => Err(PickleError::TooLarge("its pickle has more values than its length explains")),
            false => Ok(()),
        }
    }

    pub(super) fn push(&mut self, value: Value) -> Outcome<()> {
        self.spend(1)?;
        let id = self.arena.len();
        self.arena.push(value);
        self.place(id)
    }

    /// Puts `id` on the stack.
    pub(super) fn place(&mut self, id: Id) -> Outcome<()> {
        if self.stack.len() >= MOST_VALUES {
            return Err(PickleError::TooLarge("its pickle has millions of values at a time"));
        }
        self.stack.push(id);
        Ok(())
    }

    /// Where the topmost `n` start, none of which may lie under a mark.
    pub(super) fn floor(&self, n: usize) -> Outcome<usize> {
        let lowest = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n) {
            Some(start) if start >= lowest => Ok(start),
            _ => Err(malformed("it pops from an empty stack")),
        }
    }

    pub(super) fn pop(&mut self) -> Outcome<Id> {
        self.floor(1)?;
        Ok(self.stack.pop().expect("`floor` has found one"))
    }

    /// Takes away the topmost value, or the mark that lies there.
    pub(super) fn pop_any(&mut self) -> Outcome<()> {
        match self.marks.last() {
            Some(mark) if *mark == self.stack.len() => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }

    pub(super) fn top(&self) -> Outcome<Id> {
        self.floor(1).map(|place| self.stack[place])
    }

    pub(super) fn mark(&mut self) -> Outcome<()> {
        if self.marks.len() >= MOST_VALUES {
            return Err(PickleError::TooLarge("its pickle has millions of marks at a time"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn pop_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| malformed("it uses a mark that does not exist"))?;
        Ok(self.stack.split_off(mark))
    }

    /// Keys and values down to the mark.
    pub(super) fn pop_pairs(&mut self) -> Outcome<Vec<(Id, Id)>> {
        let items = self.pop_mark()?;
        match items.as_chunks() {
            (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
            _ => Err(malformed("a key has no value")),
        }
    }

    pub(super) fn extend_list(&mut self, items: Vec<Id>) -> Outcome<()> {
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::List(list) => list.extend(items),
            Value::Inert(_) => {}
            _ => return Err(malformed("it appends to something that is not a list")),
        }
        Ok(())
    }

    pub(super) fn extend_dict(&mut self, pairs: Vec<(Id, Id)>) -> Outcome<()> {
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::Dict(dict) => dict.extend(pairs),
            Value::Inert(_) => {}
            _ => return Err(malformed("it sets an item of something that is not a dictionary")),
        }
        Ok(())
    }

    /// What is set on a dictionary beside its items, such as `_metadata`, and on a tensor has no use.
    pub(super) fn build(&mut self) -> Outcome<()> {
        self.pop()?;
        let top = self.top()?;
        match &self.arena[top] {
            Value::Dict(_) | Value::Tensor(_) | Value::Inert(_) => Ok(()),
            _ => Err(malformed("it sets attributes of something that has none")),
        }
    }

    pub(super) fn memoize(&mut self, place: u32) -> Outcome<()> {
        let top = self.top()?;
        self.spend(1)?;
        self.memo.insert(place, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, place: u32) -> Outcome<()> {
        let id =
            *self.memo.get(&place).ok_or_else(|| malformed("it reads a memo entry that does not exist"))?;
        self.place(id)
    }
}
