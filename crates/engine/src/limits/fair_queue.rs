//! A queue that serves its users in turn: who has many items in it waits for its own, and nobody else does.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Items that have left are taken out of a line, and users out of the round, once they are more than the others and this.
const LEFT_BEHIND: usize = 16;

/// Every operation takes constant time on average: what leaves is only marked, by its owner, and swept up in bulk.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    lines: HashMap<Arc<str>, Line<T>>,
    /// The users of all lines, each once; the front one is next.
    round: VecDeque<Arc<str>>,
    /// Items that have not left.
    len: usize,
    /// Lines without such items.
    idle: usize,
}

#[derive(Debug)]
struct Line<T> {
    items: VecDeque<T>,
    /// Of them, those that have not left.
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), round: VecDeque::new(), len: 0, idle: 0 }
    }
}

impl<T> FairQueue<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn len_of(&self, user: &str) -> usize {
        self.lines.get(user).map_or(0, |line| line.len)
    }

    /// Puts an item at the end of its user's line; returns the user, to be named when it leaves.
    pub fn push(&mut self, user: &str, item: T) -> Arc<str> {
        let user = match self.lines.get_key_value(user) {
            Some((user, _)) => Arc::clone(user),
            None => {
                let user = Arc::<str>::from(user);
                self.lines.insert(Arc::clone(&user), Line { items: VecDeque::new(), len: 0 });
                self.round.push_back(Arc::clone(&user));
                self.idle += 1;
                user
            }
        };
        if let Some(line) = self.lines.get_mut(&user) {
            self.idle -= usize::from(line.len == 0);
            line.items.push_back(item);
            line.len += 1;
            self.len += 1;
        }
        user
    }

    /// The first item of the user whose turn it is; `has_left` tells of items that are not to be served any more.
    pub fn pop(&mut self, has_left: impl Fn(&T) -> bool) -> Option<T> {
        while let Some(user) = self.round.pop_front() {
            let Some(line) = self.lines.get_mut(&user) else { continue };
            while line.items.front().is_some_and(&has_left) {
                line.items.pop_front();
            }
            let Some(item) = line.items.pop_front() else {
                self.lines.remove(&user);
                self.idle -= 1;
                continue;
            };
            line.len -= 1;
            self.len -= 1;
            if line.len > 0 {
                self.round.push_back(user);
            } else {
                self.lines.remove(&user);
            }
            return Some(item);
        }
        None
    }

    /// Counts out an item of `user` of which `has_left` holds by now.
    pub fn leave(&mut self, user: &str, has_left: impl Fn(&T) -> bool) {
        let Some(line) = self.lines.get_mut(user) else { return };
        line.len -= 1;
        self.len -= 1;
        if line.len == 0 {
            line.items.clear();
            self.idle += 1;
        } else if line.items.len() - line.len > line.len + LEFT_BEHIND {
            line.items.retain(|item| !has_left(item));
        }
        let Self { lines, round, idle, .. } = self;
        if *idle > round.len() - *idle + LEFT_BEHIND {
            lines.retain(|_, line| line.len > 0);
            round.retain(|user| lines.contains_key(user));
            *idle = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// A number, and whether it has left.
    type Item = (usize, Rc<Cell<bool>>);

    fn has_left((_, left): &Item) -> bool {
        left.get()
    }

    fn push(queue: &mut FairQueue<Item>, user: &str, number: usize) -> Rc<Cell<bool>> {
        let left = Rc::new(Cell::new(false));
        queue.push(user, (number, left.clone()));
        left
    }

    fn served(queue: &mut FairQueue<Item>) -> Vec<usize> {
        std::iter::from_fn(|| queue.pop(has_left)).map(|(number, _)| number).collect()
    }

    #[test]
    fn users_are_served_in_turn_and_each_in_order() {
        let mut queue = FairQueue::default();
        for (user, number) in [("a", 1), ("a", 2), ("a", 3), ("b", 11), ("c", 21), ("b", 12)] {
            push(&mut queue, user, number);
        }
        assert_eq!((queue.len(), queue.len_of("a"), queue.len_of("d")), (6, 3, 0));
        assert_eq!(served(&mut queue), [1, 11, 21, 2, 12, 3]);
        assert_eq!((queue.len(), queue.lines.len()), (0, 0));
    }

    #[test]
    fn a_user_that_leaves_and_comes_again_has_one_turn() {
        let mut queue = FairQueue::default();
        let first = push(&mut queue, "a", 1);
        push(&mut queue, "b", 11);
        first.set(true);
        queue.leave("a", has_left);
        for number in [2, 3] {
            push(&mut queue, "a", number);
        }
        push(&mut queue, "b", 12);
        assert_eq!(served(&mut queue), [2, 11, 3, 12]);
    }

    #[test]
    fn those_that_leave_leave_nothing_behind() {
        let mut queue = FairQueue::default();
        push(&mut queue, "stays", 0);
        for number in 0..10_000 {
            let user = if number % 2 == 0 { "stays".to_owned() } else { number.to_string() };
            push(&mut queue, &user, number).set(true);
            queue.leave(&user, has_left);
        }
        assert_eq!(queue.len(), 1);
        let held: usize = queue.lines.values().map(|line| line.items.len()).sum();
        assert!(held + queue.lines.len() + queue.round.len() < 100, "{held}");
        assert_eq!(served(&mut queue), [0]);
    }
}
