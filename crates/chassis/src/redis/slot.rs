//! Owns which slot of a cluster a command belongs to, as the cluster specification of Redis says.

use redis::{Arg, Cmd};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// The first key of a command: of a script the first after their number, else the first argument. `None`
/// where there is none.
pub(super) fn key(command: &Cmd) -> Option<&[u8]> {
    let mut arguments = command.args_iter().map_while(|argument| match argument {
        Arg::Simple(bytes) => Some(bytes),
        // A place in a scan, which is behind the key.
        _ => None,
    });
    let name = arguments.next()?;
    if name.eq_ignore_ascii_case(b"EVALSHA") || name.eq_ignore_ascii_case(b"EVAL") {
        return arguments
            .nth(1)
            .filter(|count| *count != b"0")
            .and_then(|_| arguments.next());
    }
    arguments.next()
}

/// The slot of a key: of what stands between the first braces, if that is anything, or of all of it.
pub(super) fn of(key: &[u8]) -> u16 {
    crc16(tag(key).unwrap_or(key)) % SLOTS
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let begin = key.iter().position(|byte| *byte == b'{')? + 1;
    let length = key[begin..].iter().position(|byte| *byte == b'}')?;
    (length > 0).then(|| &key[begin..begin + length])
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| {
            if sum & 0x8000 == 0 {
                sum << 1
            } else {
                sum << 1 ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{crc16, key, of};

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of(b"foo"), 12_182);
        assert_eq!(of(b"x:{foo}:y"), of(b"foo"));
        assert_eq!(of(b"{foo}{bar}"), of(b"foo"));
        // An empty tag is none, and what is not closed is none either.
        assert_ne!(of(b"a{}{foo}"), of(b"foo"));
        assert_ne!(of(b"a{foo"), of(b"foo"));
    }

    #[test]
    fn the_key_of_a_script_stands_behind_their_number() {
        let read = redis::cmd("LRANGE").arg("k").arg(0).arg(-1).clone();
        assert_eq!(key(&read), Some(&b"k"[..]));
        let call = redis::cmd("EVALSHA")
            .arg("sha")
            .arg(2)
            .arg("a")
            .arg("b")
            .clone();
        assert_eq!(key(&call), Some(&b"a"[..]));
        let keyless = redis::cmd("EVAL")
            .arg("return 1")
            .arg(0)
            .arg("no key")
            .clone();
        assert_eq!(key(&keyless), None);
        assert_eq!(key(&redis::cmd("PING")), None);
    }
}
