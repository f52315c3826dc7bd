//! How much goes into one message. What is sent, and how it is written, is not here.

/// Splits `items` into messages of at most `most` bytes, in their order; `bytes` tells
/// how many one item takes. An item that takes more goes alone.
pub fn split<T>(
    items: impl IntoIterator<Item = T>,
    bytes: impl Fn(&T) -> usize,
    most: usize,
) -> Vec<Vec<T>> {
    let mut messages: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let size = bytes(&item);
        match messages.last_mut() {
            Some(message) if size <= room => {
                message.push(item);
                room -= size;
            }
            _ => {
                messages.push(vec![item]);
                room = most.saturating_sub(size);
            }
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[usize], expected: &[&[usize]]) {
        let found = split(sizes.iter().copied(), |size| *size, 10);
        assert_eq!(found, expected, "{sizes:?}");
    }

    #[test]
    fn messages_are_as_full_as_they_may_be() {
        check(&[], &[]);
        check(&[4, 6, 1], &[&[4, 6], &[1]]);
        check(&[4, 7, 3, 1], &[&[4], &[7, 3], &[1]]);
        check(&[11, 1], &[&[11], &[1]]);
        check(&[10, 0, 1], &[&[10, 0], &[1]]);
    }
}
