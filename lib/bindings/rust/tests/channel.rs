// SPDX-License-Identifier: MIT
//! Channels: how they are made, found and passed on; errors; and triples and sets.

use krepis::{
    AnyEndpoint, Channel, Consumer, Deadline, Error, Options, Packet, Producer, TripleConsumer, TripleProducer, WaitSet,
};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number(u64);

// SAFETY: a number.
unsafe impl Packet for Number {
    const ID: u16 = 3;
    const LAYOUT: u32 = 0xabcd_0123;
}

/// A path on tmpfs that goes with it.
struct Name(PathBuf);

impl Name {
    fn new(name: &str) -> Name {
        Name(PathBuf::from(format!("/dev/shm/krepis-rust-{}-{}", std::process::id(), name)))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = krepis::unlink(&self.0);
    }
}

fn small() -> Options {
    Options::default().ring_size(4096).inline_max(512).buffer_size(4096).buffer_count(2)
}

fn errno<T>(result: Result<T, Error>) -> i32 {
    result.err().map_or(0, |e| e.errno())
}

#[test]
fn a_name_is_opened() {
    let name = Name::new("open");
    let a = Channel::create(&name.0, &small().mode(0o600)).unwrap();
    let b = Channel::open(&name.0, 0).unwrap();
    assert_eq!(errno(Channel::create(&name.0, &small())), 17);
    let p = Producer::new(&a).unwrap();
    let mut c = Consumer::new(&b).unwrap();
    p.send_packet(&Number(4), SECOND).unwrap();
    assert_eq!(c.recv(SECOND).unwrap().as_packet(), Some(&Number(4)));
    krepis::unlink(&name.0).unwrap();
    let error = Channel::open(&name.0, 0).unwrap_err();
    assert_eq!((error.errno(), io::Error::from(error).kind()), (2, io::ErrorKind::NotFound));
}

#[test]
fn what_is_no_channel_is_refused() {
    let name = Name::new("none");
    std::fs::write(&name.0, b"something else").unwrap();
    assert_eq!(errno(Channel::open(&name.0, 0)), 124);
    assert_eq!(errno(Channel::create("a\0b", &small())), 22);
    assert_eq!(errno(Channel::anonymous(&small().ring_size(5000))), 22);
    assert!(krepis::directory().is_ok());
    let cooperative = Name::new("enforced");
    assert_eq!(errno(Channel::create(&cooperative.0, &small().enforced())), 95);
    assert_eq!(errno(Channel::create(&cooperative.0, &small().exclusive().max_consumers(1))), 95);
}

#[test]
fn layouts_that_differ_are_both_named() {
    let name = Name::new("layout");
    let channel = Channel::create(&name.0, &small().layout(Number::LAYOUT)).unwrap();
    assert!(Channel::open(&name.0, Number::LAYOUT).is_ok());
    let expected = Error::LayoutMismatch { theirs: Number::LAYOUT, ours: 1 };
    let error = Channel::open(&name.0, 1).unwrap_err();
    assert_eq!(error, expected);
    assert!(error.to_string().contains("0xabcd0123") && error.to_string().contains("0x00000001"));
    assert_eq!(Channel::open_fd(&channel, 1).unwrap_err(), expected);
    let (a, b) = UnixStream::pair().unwrap();
    Channel::anonymous(&small().layout(Number::LAYOUT)).unwrap().pass(&a).unwrap();
    assert_eq!(Channel::receive(&b, 1).unwrap_err(), expected);
    // One that has none is unchecked.
    let none = Channel::anonymous(&small()).unwrap();
    assert!(Channel::open_fd(&none, 1).is_ok());
    none.pass(&a).unwrap();
    assert!(Channel::receive(&b, 1).is_ok());
}

#[test]
fn a_channel_travels() {
    let channel = Channel::anonymous(&small().layout(Number::LAYOUT)).unwrap();
    let (a, b) = UnixStream::pair().unwrap();
    channel.pass(&a).unwrap();
    let received = Channel::receive(&b, Number::LAYOUT).unwrap();
    let inherited = Channel::open_fd(&channel, Number::LAYOUT).unwrap();
    let p = Producer::new(&received).unwrap();
    let mut c = Consumer::new(&inherited).unwrap();
    p.send(1, b"x", SECOND).unwrap();
    assert_eq!(c.recv(SECOND).unwrap().kind(), 1);
    drop(a);
    assert!(Channel::receive(&b, 0).unwrap_err().is_peer_gone());
}

#[test]
fn errors_say_what_they_are() {
    let channel = Channel::anonymous(&small()).unwrap();
    let error = Producer::new(&channel).unwrap().send(1, b"x", SECOND).unwrap_err();
    assert!(error.is_not_connected());
    assert_eq!(error.to_string(), "nobody is attached to the other side");
    let error = io::Error::from(Error::Errno(krepis::native::KREPIS_PEER_GONE));
    assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::BrokenPipe, "the other side has gone"));
    assert_eq!(krepis::version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(krepis::crc32c(0, b"123456789"), 0xe306_9283);
    assert!(Deadline::after(Duration::MAX) == Deadline::FOREVER && !Deadline::FOREVER.passed());
    assert!(Deadline::at(1).passed() && Deadline::at(5).ns() == 5);
}

#[test]
fn a_triple_has_the_latest_value() {
    let channel = Channel::anonymous(&Options::new().triple().buffer_size(4096)).unwrap();
    let mut p = TripleProducer::new(&channel).unwrap();
    let mut c = TripleConsumer::new(&channel).unwrap();
    assert_eq!((errno(Producer::new(&channel)), errno(Consumer::new(&channel))), (22, 22));
    assert!(c.read().unwrap().is_none());
    p.write(&Number(1)).unwrap();
    p.write(&Number(2)).unwrap();
    c.wait(SECOND).unwrap();
    {
        let v = c.read().unwrap().unwrap();
        assert!(v.fresh() && v.kind() == Number::ID && v.sequence() == 2);
        assert_eq!((v.as_packet(), v.read_packet()), (Some(&Number(2)), Some(Number(2))));
    }
    assert!(!c.read().unwrap().unwrap().fresh());
    let mut room = p.begin().unwrap();
    assert_eq!(room.len(), 4096);
    *room.as_packet_mut().unwrap() = Number(9);
    room[8] = 1;
    room.commit(Number::ID, 9).unwrap();
    let v = c.read().unwrap().unwrap();
    assert!(v.as_packet::<Number>().is_none() && v.read_packet::<Number>().is_none());
    assert_eq!(v.as_prefix(), Some((&Number(9), &[1u8][..])));
    let mut bytes = [0; 16];
    assert_eq!((v.copy_to(&mut bytes), bytes[0]), (9, 9));
    assert_eq!(p.begin().unwrap().len(), 4096);
    assert_eq!(errno(p.begin().unwrap().commit(1, 4097)), 90);
    drop(p);
    c.read().unwrap();
    assert!(c.wait(SECOND).unwrap_err().is_peer_gone());
}

#[test]
fn a_set_waits_for_several() {
    let mut set = WaitSet::<Consumer>::new().unwrap();
    let channels: Vec<Channel> = (0..3).map(|_| Channel::anonymous(&small()).unwrap()).collect();
    let producers: Vec<Producer> = channels.iter().map(|c| Producer::new(c).unwrap()).collect();
    let keys: Vec<_> = channels.iter().map(|c| set.add(Consumer::new(c).unwrap()).unwrap()).collect();
    assert_eq!((set.len(), set.is_empty()), (3, false));
    assert!(set.wait(Duration::from_millis(5)).unwrap_err().is_timed_out());
    producers[1].send(9, b"x", SECOND).unwrap();
    let ready = set.wait(SECOND).unwrap();
    assert_eq!((ready.len(), ready[0].key, ready[0].error), (1, keys[1], None));
    let mut member = set.get_mut(keys[1]).unwrap();
    assert_eq!(member.recv(Deadline::NOW).unwrap().kind(), 9);
    assert!(member.try_recv().unwrap().is_none());
    drop(producers);
    let ready = set.wait(SECOND).unwrap();
    assert!(ready.iter().all(|r| r.error.unwrap().is_peer_gone()));
    assert!(set.get_mut(keys[0]).unwrap().next(SECOND).unwrap().is_none());
    let mut alone = set.remove(keys[0]).unwrap();
    assert!(set.get(keys[0]).is_none() && set.remove(keys[0]).is_none());
    assert!(alone.recv(SECOND).unwrap_err().is_peer_gone());
}

#[test]
fn a_set_has_all_kinds() {
    let mut set: WaitSet = WaitSet::new().unwrap();
    let ring = Channel::anonymous(&small()).unwrap();
    let triple = Channel::anonymous(&Options::new().triple().buffer_size(4096)).unwrap();
    let p = set.add(Producer::new(&ring).unwrap()).unwrap();
    let c = set.add(Consumer::new(&ring).unwrap()).unwrap();
    let mut value = TripleProducer::new(&triple).unwrap();
    let t = set.add(TripleConsumer::new(&triple).unwrap()).unwrap();
    match set.get(p) {
        Some(AnyEndpoint::Producer(p)) => p.send(1, b"x", SECOND).unwrap(),
        _ => unreachable!(),
    }
    value.write(&Number(1)).unwrap();
    let mut seen = vec![];
    while seen.len() < 3 {
        for ready in set.wait(5 * SECOND).unwrap() {
            if !seen.contains(&ready.key) {
                seen.push(ready.key);
            }
        }
    }
    assert!(set.get_mut(p).unwrap().consumer().is_none());
    assert_eq!(set.get_mut(c).unwrap().consumer().unwrap().recv(SECOND).unwrap().kind(), 1);
    assert!(set.get_mut(t).unwrap().triple_consumer().unwrap().read().unwrap().unwrap().fresh());
}

#[test]
fn another_thread_interrupts_a_set() {
    let mut set = WaitSet::<Consumer>::new().unwrap();
    let interrupter = set.interrupter();
    let thread = std::thread::spawn(move || {
        interrupter.interrupt();
        interrupter
    });
    assert_eq!(errno(set.wait(Deadline::FOREVER)), 125);
    drop(set);
    thread.join().unwrap().interrupt();
}

#[test]
fn a_message_outlives_its_set() {
    let channel = Channel::anonymous(&small()).unwrap();
    let p = Producer::new(&channel).unwrap();
    let mut set = WaitSet::<Consumer>::new().unwrap();
    let key = set.add(Consumer::new(&channel).unwrap()).unwrap();
    let mut b = p.acquire(SECOND).unwrap();
    b[0] = 5;
    p.publish(b, 1, 1, 0, SECOND).unwrap();
    let shared = set.get_mut(key).unwrap().recv(SECOND).unwrap().into_shared().unwrap();
    drop(set);
    std::thread::spawn(move || assert_eq!(shared[0], 5)).join().unwrap();
    assert_eq!(channel.query().unwrap().live, 0);
}

/// A peer may write what it wants: here behind everybody's back, before the payload `mark`.
fn forge(name: &Name, mark: &[u8], header: u64) {
    let bytes = std::fs::read(&name.0).unwrap();
    let at = bytes.windows(mark.len()).position(|w| w == mark).unwrap() - 8;
    let file = std::fs::OpenOptions::new().write(true).open(&name.0).unwrap();
    file.write_all_at(&header.to_le_bytes(), at as u64).unwrap();
}

#[test]
fn a_batch_believes_no_record() {
    const BUFFER: u64 = 1 << 48;
    let forged = [513, u64::from(u32::MAX), 400, BUFFER | 9, 1 << 50 | 8, BUFFER << 8 | 8];
    for (i, header) in forged.into_iter().enumerate() {
        let name = Name::new(&format!("forged{}", i));
        let channel = Channel::create(&name.0, &small()).unwrap();
        let p = Producer::new(&channel).unwrap();
        let mut c = Consumer::new(&channel).unwrap();
        p.send(1, b"the first", SECOND).unwrap();
        p.send(2, b"the second", SECOND).unwrap();
        forge(&name, b"the second", header);
        let batch = c.recv_batch(SECOND).unwrap();
        assert_eq!(batch.next(), Some((1, &b"the first"[..])));
        assert_eq!((batch.next(), batch.next()), (None, None));
        assert!(batch.done().unwrap_err().is_broken(), "{:x}", header);
        assert!(c.recv(SECOND).unwrap_err().is_broken());
    }
}
