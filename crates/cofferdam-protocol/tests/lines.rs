//! Framing: limits, terminators, the end of input, and that reads may be cut anywhere.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use cofferdam_protocol::{CHUNK_BYTES, Frame, LineBuffer};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

/// Feeds `input` in reads of these sizes, over and over, and takes every frame as soon as it is there.
fn frames(input: &[u8], reads: &[usize], max_line_bytes: usize) -> Vec<Frame> {
    let mut buffer = LineBuffer::new(max_line_bytes);
    let mut frames = Vec::new();
    let mut rest = input;
    let mut sizes = reads.iter().copied().cycle();
    while !rest.is_empty() {
        let spare = buffer.spare();
        assert!(spare.len() >= CHUNK_BYTES, "room for a whole chunk");
        let count = sizes.next().unwrap().max(1).min(rest.len()).min(spare.len());
        spare[..count].copy_from_slice(&rest[..count]);
        buffer.filled(count);
        rest = &rest[count..];
        frames.extend(std::iter::from_fn(|| buffer.next_frame()));
    }
    frames.extend(std::iter::from_fn(|| buffer.finish()));
    assert_eq!(buffer.finish(), None);
    frames
}

fn line(text: &str) -> Frame {
    Frame::Line(text.into())
}

fn bytes_of(frame: &Frame) -> &[u8] {
    match frame {
        Frame::Line(bytes) | Frame::Unterminated(bytes) | Frame::Oversize { piece: bytes, .. } => bytes,
    }
}

#[test]
fn lines_keep_their_terminators() {
    for reads in [[1], [3], [1000]] {
        let found = frames(b"a\n\r\n\nbc\r\n d", &reads, 10);
        assert_eq!(
            found,
            [
                line("a\n"),
                line("\r\n"),
                line("\n"),
                line("bc\r\n"),
                Frame::Unterminated(b" d".into())
            ]
        );
    }
    assert_eq!(frames(b"", &[1], 10), []);
}

#[test]
fn the_limit_counts_content_and_not_the_newline() {
    assert_eq!(frames(b"12345\n", &[2], 5), [line("12345\n")]);
    let over = Frame::Oversize {
        piece: b"123456\n".into(),
        first: true,
        last: true,
    };
    assert_eq!(frames(b"123456\nab\n", &[2], 5), [over.clone(), line("ab\n")]);
    assert_eq!(frames(b"123456\nab\n", &[100], 5), [over, line("ab\n")]);
    assert_eq!(frames(b"12345", &[1], 5), [Frame::Unterminated(b"12345".into())]);
    assert_eq!(
        frames(b"123456", &[1], 5),
        [Frame::Oversize {
            piece: b"123456".into(),
            first: true,
            last: true
        }]
    );
    assert_eq!(
        frames(b"\n1\n", &[1], 0),
        [
            line("\n"),
            Frame::Oversize {
                piece: b"1\n".into(),
                first: true,
                last: true
            }
        ]
    );
}

#[test]
fn a_line_over_the_limit_comes_in_pieces() {
    let over = "x".repeat(CHUNK_BYTES * 2 + 7);
    for (tail, last_piece) in [("\n", "xxxxxxx\n"), ("", "xxxxxxx")] {
        let input = format!("ok\n{over}{tail}");
        for reads in [&[1000][..], &[1_000_000], &[1, 70_000]] {
            let found = frames(input.as_bytes(), reads, 100);
            assert_eq!(found[0], line("ok\n"));
            let shape: Vec<_> = found[1..]
                .iter()
                .map(|frame| matches!(frame, Frame::Oversize { .. }).then(|| bytes_of(frame).len()))
                .collect();
            assert_eq!(shape, [Some(CHUNK_BYTES), Some(CHUNK_BYTES), Some(last_piece.len())]);
            assert!(matches!(
                &found[1],
                Frame::Oversize {
                    first: true,
                    last: false,
                    ..
                }
            ));
            assert!(matches!(
                &found[2],
                Frame::Oversize {
                    first: false,
                    last: false,
                    ..
                }
            ));
            assert_eq!(
                found[3],
                Frame::Oversize {
                    piece: last_piece.into(),
                    first: false,
                    last: true
                }
            );
        }
    }
}

#[test]
fn a_line_over_the_limit_always_ends() {
    // Exactly two pieces and then the end of input: the end is still told.
    let input = vec![b'x'; CHUNK_BYTES * 2];
    let found = frames(&input, &[999], 10);
    assert_eq!(
        found.last(),
        Some(&Frame::Oversize {
            piece: Vec::new(),
            first: false,
            last: true
        })
    );
    // A piece that ends with the newline is the last one.
    let mut input = vec![b'x'; CHUNK_BYTES - 1];
    input.extend_from_slice(b"\nnext\n");
    let found = frames(&input, &[999], 10);
    assert!(matches!(&found[0], Frame::Oversize { first: true, last: true, piece } if piece.len() == CHUNK_BYTES));
    assert_eq!(found[1..], [line("next\n")]);
}

#[test]
fn an_endless_line_is_not_held() {
    let mut buffer = LineBuffer::new(1000);
    let mut largest = 0;
    for _ in 0..500 {
        let spare = buffer.spare();
        largest = largest.max(spare.len());
        let count = spare.len();
        spare.fill(b'x');
        buffer.filled(count);
        while buffer.next_frame().is_some() {}
    }
    assert!(largest <= CHUNK_BYTES * 4, "{largest}");
}

#[test]
fn frames_left_behind_do_not_grow_the_buffer() {
    let mut buffer = LineBuffer::new(1000);
    let mut total = 0;
    for _ in 0..1000 {
        let spare = buffer.spare();
        let count = spare.len();
        spare.fill(b'\n');
        total += count;
        buffer.filled(count);
    }
    assert!(total <= CHUNK_BYTES * 4, "{total}");
    assert_eq!(std::iter::from_fn(|| buffer.next_frame()).count(), total);
    assert!(buffer.spare().len() >= CHUNK_BYTES, "it goes on");
}

#[test]
fn more_than_there_was_room_for_cannot_be_filled() {
    let mut buffer = LineBuffer::new(10);
    buffer.filled(usize::MAX);
    assert_eq!(buffer.finish(), None);
    let room = buffer.spare().len();
    buffer.filled(usize::MAX);
    let found: usize = std::iter::from_fn(|| buffer.finish())
        .map(|frame| bytes_of(&frame).len())
        .sum();
    assert_eq!(found, room);
}

/// Bytes in which newlines, carriage returns and long runs are common.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let run = (
        prop::sample::select(b"ab\r\n\n{\0\xff".to_vec()),
        prop::sample::select(vec![
            1_usize,
            1,
            2,
            9,
            10,
            11,
            300,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
        ]),
    );
    prop::collection::vec(run, 0..12).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(byte, count)| std::iter::repeat_n(byte, count))
            .collect()
    })
}

fn reads() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(
        prop::sample::select(vec![1_usize, 2, 7, 10, 4096, 65_535, 65_536, 65_537, 200_000]),
        1..8,
    )
    .prop_map(|mut sizes| {
        // Never only tiny reads: a long input would take for ever.
        sizes.push(50_000);
        sizes
    })
}

proptest! {
    // Inputs of hundreds of kilobytes: few cases are enough and quick.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_do_not_depend_on_how_input_is_cut(input in input(), reads in reads(), max in prop::sample::select(vec![0_usize, 1, 10, 299, 300, CHUNK_BYTES, CHUNK_BYTES * 3])) {
        let whole = frames(&input, &[usize::MAX], max);
        let cut = frames(&input, &reads, max);
        prop_assert_eq!(&whole, &cut);
        let joined: Vec<u8> = whole.iter().flat_map(bytes_of).copied().collect();
        prop_assert_eq!(joined, input, "no byte is lost");
        for frame in &whole {
            match frame {
                Frame::Line(line) => prop_assert!(line.ends_with(b"\n") && line.len() <= max + 1 && !line[..line.len() - 1].contains(&b'\n')),
                Frame::Unterminated(rest) => prop_assert!(!rest.contains(&b'\n') && rest.len() <= max),
                Frame::Oversize { piece, last, .. } => prop_assert!(piece.len() <= CHUNK_BYTES && (*last || piece.len() == CHUNK_BYTES)),
            }
        }
    }

    #[test]
    fn arbitrary_bytes_come_out_as_they_went_in(input in prop::collection::vec(any::<u8>(), 0..400), max in 0_usize..40) {
        let joined: Vec<u8> = frames(&input, &[5], max).iter().flat_map(bytes_of).copied().collect();
        prop_assert_eq!(joined, input);
    }
}
