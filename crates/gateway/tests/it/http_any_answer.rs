//! Any sequence of well-formed answers, cut anywhere, arrives whole or breaks: a body that is short never
//! looks whole.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::http_wire::before;
use crate::raw::{Player, Wire};

/// So many sequences are tried.
const SEQUENCES: usize = 150;

/// How an answer says where it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Length,
    Chunks,
    Close,
}

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    end: End,
    pieces: Vec<Vec<u8>>,
    /// Answers that come before it.
    hints: usize,
    headers: usize,
}

#[derive(Debug, Clone)]
struct Sequence {
    answers: Vec<Answer>,
    /// Which of them is cut, and where; none if it is none of them.
    cut: Option<(usize, prop::sample::Index)>,
    /// In writes of so many bytes.
    write: usize,
}

/// What a client got.
#[derive(Debug, PartialEq)]
enum Got {
    Whole(u16, Vec<u8>),
    Broken,
}

fn answer() -> impl Strategy<Value = Answer> {
    let end = prop_oneof![Just(End::Length), Just(End::Chunks), Just(End::Close)];
    let piece = prop::collection::vec(any::<u8>(), 1..400);
    let pieces = prop_oneof![
        8 => prop::collection::vec(piece, 0..6),
        // Longer than any buffer on the way.
        1 => (0..=255_u8, 100_000..200_000_usize).prop_map(|(byte, length)| vec![vec![byte; length]]),
    ];
    let status = prop::sample::select(vec![200, 201, 404, 409, 500, 503]);
    (status, end, pieces, 0..3_usize, 0..20_usize).prop_map(
        |(status, end, pieces, hints, headers)| Answer {
            status,
            end,
            pieces,
            hints,
            headers,
        },
    )
}

fn sequence() -> impl Strategy<Value = Sequence> {
    let cut = prop::option::of((0..4_usize, any::<prop::sample::Index>()));
    let answers = prop::collection::vec(answer(), 1..5);
    (answers, cut, 1..4_000_usize).prop_map(|(answers, cut, write)| Sequence {
        cut: cut.filter(|(at, _)| *at < answers.len()),
        answers,
        write,
    })
}

impl Answer {
    fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    fn written(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.hints {
            bytes.extend(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
        }
        bytes.extend(format!("HTTP/1.1 {} Said\r\n", self.status).bytes());
        for number in 0..self.headers {
            bytes.extend(format!("x-{number}: {}\r\n", "v".repeat(number)).bytes());
        }
        let rest = match self.end {
            End::Length => format!("content-length: {}\r\n\r\n", self.body().len()),
            End::Chunks => "transfer-encoding: chunked\r\n\r\n".to_owned(),
            End::Close => "connection: close\r\n\r\n".to_owned(),
        };
        bytes.extend(rest.bytes());
        if self.end != End::Chunks {
            bytes.extend(self.body());
            return bytes;
        }
        for piece in &self.pieces {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

impl Sequence {
    /// What is sent for a request, and whether the connection is closed then.
    fn sent(&self, number: usize) -> (Vec<u8>, bool) {
        let answer = &self.answers[number];
        let mut bytes = answer.written();
        let mut closes = answer.end == End::Close;
        if let Some((at, index)) = &self.cut
            && *at == number
        {
            bytes.truncate(index.index(bytes.len() + 1));
            closes = true;
        }
        (bytes, closes)
    }
}

/// One answer, as a client of HTTP/1.1 understands it.
async fn read(client: &mut Wire) -> Got {
    let head = client.head().await;
    if !head.ends_with("\r\n\r\n") {
        return Got::Broken;
    }
    let status = head[9..12].parse().expect("a status");
    let value = |name: &str| {
        let line = head.lines().find_map(|it| it.strip_prefix(name));
        line.map(str::to_owned)
    };
    if let Some(length) = value("content-length: ") {
        let length = length.parse().expect("a length");
        let body = client.take_bytes(length).await;
        return if body.len() == length {
            Got::Whole(status, body)
        } else {
            Got::Broken
        };
    }
    assert!(value("transfer-encoding: ").is_some(), "{head}");
    let mut body = Vec::new();
    loop {
        let size = client.until("\r\n").await;
        let Some(Ok(size)) = size
            .strip_suffix("\r\n")
            .map(|it| usize::from_str_radix(it, 16))
        else {
            return Got::Broken;
        };
        let piece = client.take_bytes(size + 2).await;
        if !piece.ends_with(b"\r\n") || piece.len() < size + 2 {
            return Got::Broken;
        }
        if size == 0 {
            return Got::Whole(status, body);
        }
        body.extend_from_slice(&piece[..size]);
    }
}

async fn play(mut wire: Wire, sequence: Rc<RefCell<Sequence>>) {
    loop {
        let head = wire.head().await;
        let number = head
            .strip_prefix("GET /")
            .and_then(|it| it.split(' ').next()?.parse().ok());
        let Some(number) = number else { return };
        let ((bytes, closes), write) = {
            let sequence = sequence.borrow();
            (sequence.sent(number), sequence.write)
        };
        for piece in bytes.chunks(write) {
            wire.send(piece).await;
            tokio::task::yield_now().await;
        }
        if closes {
            return;
        }
    }
}

#[actix_web::test]
async fn any_sequence_of_answers_cut_anywhere_arrives_whole_or_breaks() {
    let mut runner = TestRunner::deterministic();
    let first = sequence().new_tree(&mut runner).unwrap().current();
    let playing = Rc::new(RefCell::new(first));
    let played = Rc::clone(&playing);
    let player = Player::start(move |wire, _| play(wire, Rc::clone(&played))).await;
    let (app, address) = before(&player, &[]).await;
    let (mut broken, mut whole) = (0, 0);
    for _ in 0..SEQUENCES {
        let sequence = sequence().new_tree(&mut runner).unwrap().current();
        *playing.borrow_mut() = sequence.clone();
        let mut client = Wire::to(&address).await;
        for (number, answer) in sequence.answers.iter().enumerate() {
            client
                .send(format!("GET /{number} HTTP/1.1\r\nhost: shop\r\n\r\n"))
                .await;
            let got = read(&mut client).await;
            let wanted = Got::Whole(answer.status, answer.body());
            let is_cut = sequence.cut.as_ref().is_some_and(|(at, _)| *at == number);
            // Where an answer ends with its connection, nobody can know that it is short.
            let is_prefix = |got: &Got| match got {
                Got::Whole(status, body) => {
                    answer.end == End::Close
                        && *status == answer.status
                        && answer.body().starts_with(body)
                }
                Got::Broken => true,
            };
            let is_refusal = matches!(got, Got::Whole(502, _));
            assert!(
                got == wanted || (is_cut && (is_prefix(&got) || is_refusal)),
                "{number} of {sequence:?}: {got:?}"
            );
            if got != wanted && !is_refusal {
                broken += 1;
                break;
            }
            whole += 1;
        }
    }
    assert!(
        broken > 20 && whole > 200,
        "{broken} {whole}: both were seen"
    );
    app.close().await;
}
