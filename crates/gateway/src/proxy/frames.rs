//! Owns where frames of a WebSocket begin and end (RFC 6455, section 5.2), in a stream that is
//! passed on unread.

/// Status of a close frame: the visit is over.
const POLICY: u16 = 1008;
/// The longest head of a frame.
const LONGEST_HEAD: usize = 14;

/// How far a stream of frames is.
#[derive(Debug, Default)]
pub struct Frames {
    head: Vec<u8>,
    left: u64,
}

impl Frames {
    /// Passes these bytes by, and tells how many of them are up to the first end of a frame from
    /// which on nothing else was begun; all of them where there is none.
    pub fn pass(&mut self, bytes: &[u8], stops: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let taken = self.left.min((bytes.len() - at) as u64);
                self.left -= taken;
                at += usize::try_from(taken).unwrap_or(usize::MAX);
            } else {
                self.head.push(bytes[at]);
                at += 1;
                if let Some(length) = length(&self.head) {
                    self.left = length;
                    self.head.clear();
                }
            }
            if stops && self.is_between() {
                return at;
            }
        }
        at
    }

    /// Whether a frame may begin here.
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }
}

/// The length of what follows a head with its mask, once the head is whole.
fn length(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (size, length) = match second & 0x7f {
        126 => (
            4,
            head.get(2..4)
                .map(|it| u64::from(u16::from_be_bytes([it[0], it[1]]))),
        ),
        127 => (
            10,
            head.get(2..10)
                .and_then(|it| it.try_into().ok())
                .map(u64::from_be_bytes),
        ),
        short => (2, Some(u64::from(short))),
    };
    debug_assert!(size + mask <= LONGEST_HEAD);
    length.filter(|_| head.len() >= size + mask)
}

/// A frame that closes a connection because the visit is over.
pub fn closing(reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(100)];
    let mut frame = vec![0x88, u8::try_from(reason.len() + 2).unwrap_or(2)];
    frame.extend(POLICY.to_be_bytes());
    frame.extend(reason);
    frame
}

#[cfg(test)]
mod tests {
    use super::{Frames, closing};

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x81];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![7; length + if masked { 4 } else { 0 }]);
        frame
    }

    #[test]
    fn the_end_of_a_frame_is_found_however_the_stream_is_cut() {
        for length in [0, 1, 125, 126, 300, 65_535, 65_536, 70_000] {
            for masked in [false, true] {
                let (one, mut both) = (frame(length, masked), frame(length, masked));
                both.extend(frame(3, false));
                let cuts = [1, 2, 3, 7, one.len() - 1];
                for cut in cuts.into_iter().filter(|cut| *cut < one.len()) {
                    let mut frames = Frames::default();
                    assert_eq!(frames.pass(&both[..cut], false), cut);
                    assert!(!frames.is_between());
                    let stop = frames.pass(&both[cut..], true);
                    assert_eq!(cut + stop, one.len(), "{length} {masked} {cut}");
                    assert!(frames.is_between());
                }
            }
        }
    }

    #[test]
    fn a_closing_frame_is_one_frame() {
        let frame = closing("The visit is over.");
        let mut frames = Frames::default();
        assert_eq!(frames.pass(&frame, true), frame.len());
        assert_eq!(&frame[2..4], 1008_u16.to_be_bytes());
    }
}
