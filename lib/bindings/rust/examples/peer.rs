// SPDX-License-Identifier: MIT
//! The Rust peer of Krepis' tests between languages: tests/bindings/README.md in its sources.

#[allow(dead_code)]
#[path = "sample/mod.rs"]
mod sample; // made by krepis-codegen -l rust --crate

use krepis::{crc32c, Channel, Consumer, Deadline, Error, Packet, Producer, TripleConsumer, TripleProducer};
use sample::{Sample, SampleFlags, SampleKind};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Bytes behind the sample in a buffer.
const TAIL: usize = 4096;
const SIZE: usize = std::mem::size_of::<Sample>() + TAIL;
const PATIENCE: Duration = Duration::from_secs(60);

enum Failure {
    /// Of the library, at some step, after so many messages.
    Library(&'static str, u64, Error),
    Wrong(String),
}

fn made(kind: SampleKind, n: u64) -> Sample {
    let odd = if n % 2 == 1 { SampleFlags::ODD } else { SampleFlags(0) };
    let third = if n % 3 == 0 { SampleFlags::THIRD } else { SampleFlags(0) };
    let mut name = [0; 12];
    // It fits: 8 bytes at most.
    let _ = write!(&mut name[..], "s{}", n % 10_000_000);
    let mut sample = Sample {
        sequence: n,
        half: n as f64 / 2.0,
        negative: -((n % 1000) as i32),
        kind,
        flags: odd | third,
        small: [1u64, 2, 3, 4].map(|i| n.wrapping_mul(i) as u16),
        name,
        crc: 0,
        padding: 0,
    };
    sample.crc = crc32c(0, before_crc(&sample));
    sample
}

/// The bytes before its checksum.
fn before_crc(sample: &Sample) -> &[u8] {
    // SAFETY: a packet has no padding; so many of its bytes.
    unsafe { std::slice::from_raw_parts((sample as *const Sample).cast(), 48) }
}

fn same(a: &Sample, b: &Sample) -> bool {
    before_crc(a) == before_crc(b) && (a.crc, a.padding) == (b.crc, b.padding)
}

fn fill(room: &mut [u8], sample: &Sample) {
    let (head, tail) = room.split_at_mut(48);
    head.copy_from_slice(before_crc(sample));
    tail[..4].copy_from_slice(&sample.crc.to_ne_bytes());
    tail[4..8].copy_from_slice(&sample.padding.to_ne_bytes());
    for (i, byte) in tail[8..8 + TAIL].iter_mut().enumerate() {
        *byte = (sample.sequence + i as u64) as u8;
    }
}

fn good(kind: SampleKind, sample: &Sample, tail: &[u8]) -> bool {
    let whole = tail.len() == if kind == SampleKind::RING { 0 } else { TAIL };
    let mut bytes = tail.iter().enumerate();
    whole && same(sample, &made(kind, sample.sequence)) && bytes.all(|(i, b)| *b == (sample.sequence + i as u64) as u8)
}

fn numbers(count: u64) -> impl Iterator<Item = u64> {
    (0..).take_while(move |n| count == 0 || *n < count)
}

fn produce(channel: &Channel, kind: SampleKind, count: u64) -> Result<(), Failure> {
    let failed = |n| move |e| Failure::Library("produce", n, e);
    let producer = Producer::new(channel).map_err(failed(0))?;
    producer.wait_peer(1, PATIENCE).map_err(failed(0))?;
    for n in numbers(count) {
        let sample = made(kind, n);
        if kind == SampleKind::RING {
            producer.send_packet(&sample, Deadline::FOREVER).map_err(failed(n))?;
            continue;
        }
        let mut buffer = producer.acquire(Deadline::FOREVER).map_err(failed(n))?;
        fill(&mut buffer, &sample);
        producer
            .publish(buffer, Sample::ID, SIZE, krepis::CRC32C, Deadline::FOREVER)
            .map_err(|refused| failed(n)(refused.error))?;
    }
    match producer.drain(PATIENCE) {
        Err(e) if !e.is_peer_gone() => Err(Failure::Library("drain", count, e)),
        _ => Ok(()), // who has all of it may leave
    }
}

fn produce_triple(channel: &Channel, count: u64) -> Result<(), Failure> {
    let failed = |n| move |e| Failure::Library("produce", n, e);
    let mut producer = TripleProducer::new(channel).map_err(failed(0))?;
    producer.wait_peer(1, PATIENCE).map_err(failed(0))?;
    for n in numbers(count) {
        let mut room = producer.begin().map_err(failed(n))?;
        fill(&mut room, &made(SampleKind::TRIPLE, n));
        room.commit(Sample::ID, SIZE).map_err(failed(n))?;
    }
    let deadline = Deadline::after(PATIENCE);
    while producer.query().map_err(failed(count))?.live != 0 {
        if deadline.passed() {
            return Err(failed(count)(Error::Errno(krepis::native::ETIMEDOUT)));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// One message: the next one, of number `wanted`; of a triple, that or a later one, or the one before it again.
fn look(kind: SampleKind, wanted: u64, packet: Option<(&Sample, &[u8])>) -> Result<u64, Failure> {
    match packet {
        Some((s, tail)) if good(kind, s, tail) => {
            let triple = kind == SampleKind::TRIPLE;
            if s.sequence == wanted || triple && s.sequence + 1 >= wanted {
                return Ok(s.sequence + 1);
            }
        }
        _ => {}
    }
    Err(Failure::Wrong(format!("a wrong message instead of {}", wanted)))
}

fn consume(channel: &Channel, kind: SampleKind, count: u64) -> Result<(), Failure> {
    let failed = |n| move |e| Failure::Library("consume", n, e);
    let mut consumer = Consumer::new(channel).map_err(failed(0))?;
    let mut done = 0;
    while count == 0 || done < count {
        let message = consumer.recv(Deadline::FOREVER).map_err(failed(done))?;
        if kind == SampleKind::BUFFER && !message.verify().map_err(failed(done))? {
            return Err(Failure::Wrong(format!("the checksum of {} is wrong", done)));
        }
        done = look(kind, done, message.as_prefix())?;
    }
    Ok(())
}

fn consume_triple(channel: &Channel, count: u64) -> Result<(), Failure> {
    let failed = |n| move |e| Failure::Library("consume", n, e);
    let mut consumer = TripleConsumer::new(channel).map_err(failed(0))?;
    let mut done = 0;
    while count == 0 || done < count {
        consumer.wait(Deadline::FOREVER).map_err(failed(done))?;
        if let Some(value) = consumer.read().map_err(failed(done))? {
            done = look(SampleKind::TRIPLE, done, value.as_prefix())?;
        }
    }
    Ok(())
}

fn run(role: &str, kind: &str, path: &str, count: u64) -> Option<Result<(), Failure>> {
    let kind = match kind {
        "ring" => SampleKind::RING,
        "buffer" => SampleKind::BUFFER,
        "triple" => SampleKind::TRIPLE,
        _ => return None,
    };
    let channel = match Channel::open(path, sample::LAYOUT_ID) {
        Ok(channel) => channel,
        Err(e) => return Some(Err(Failure::Library("open", 0, e))),
    };
    match (role, kind) {
        ("produce", SampleKind::TRIPLE) => Some(produce_triple(&channel, count)),
        ("produce", _) => Some(produce(&channel, kind, count)),
        ("consume", SampleKind::TRIPLE) => Some(consume_triple(&channel, count)),
        ("consume", _) => Some(consume(&channel, kind, count)),
        _ => None,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        [_, role, kind, path, count] => {
            count.parse().ok().and_then(|count| Some((run(role, kind, path, count)?, count)))
        }
        _ => None,
    };
    let (status, said) = match result {
        Some((Ok(()), count)) => {
            println!("ok {}", count);
            return ExitCode::SUCCESS;
        }
        Some((Err(Failure::Library(_, n, e)), _)) if e.is_peer_gone() => (3, format!("gone after {}", n)),
        Some((Err(Failure::Library(_, _, e @ Error::LayoutMismatch { .. })), _)) => (4, e.to_string()),
        Some((Err(Failure::Library(step, _, e)), _)) => (1, format!("{}: {}", step, e)),
        Some((Err(Failure::Wrong(what)), _)) => (1, what),
        None => (1, "usage: peer produce|consume ring|buffer|triple CHANNEL COUNT".to_string()),
    };
    eprintln!("{}", said);
    ExitCode::from(status)
}
