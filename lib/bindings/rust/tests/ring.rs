// SPDX-License-Identifier: MIT
//! A ring, and what can be done with its endpoints.

use krepis::{attach, Backpressure, Channel, Consumer, Deadline, Error, Guarantee, Kind, Options, Packet, Producer};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const ENODATA: i32 = 61;
const EMSGSIZE: i32 = 90;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Position {
    time_ns: u64,
    x: f32,
    y: f32,
}

// SAFETY: repr(C), numbers, no padding.
unsafe impl Packet for Position {
    const ID: u16 = 7;
    const LAYOUT: u32 = 0x1234_5678;
}

const HERE: Position = Position { time_ns: 5, x: 1.5, y: -2.0 };

fn small() -> Options {
    Options::new().ring_size(4096).buffer_size(4096).buffer_count(2).max_consumers(2)
}

fn pair(options: Options) -> (Producer, Consumer) {
    let channel = Channel::anonymous(&options).unwrap();
    (Producer::new(&channel).unwrap(), Consumer::new(&channel).unwrap())
}

fn errno<T>(result: Result<T, Error>) -> i32 {
    result.err().map_or(0, |e| e.errno())
}

#[test]
fn a_message_goes_through() {
    let (p, mut c) = pair(small());
    p.send(3, b"hello", Deadline::NOW).unwrap();
    let m = c.recv(SECOND).unwrap();
    assert_eq!((m.kind(), &m[..], m.in_buffer()), (3, &b"hello"[..], false));
    assert_eq!(m.to_vec(), b"hello");
    let mut part = [0; 3];
    assert_eq!((m.copy_to(&mut part), &part), (3, b"hel"));
    assert_eq!(errno(m.verify()), ENODATA);
}

#[test]
fn an_empty_message_is_one() {
    let (p, mut c) = pair(small());
    p.send(3, &[], Deadline::NOW).unwrap();
    let m = c.recv(SECOND).unwrap();
    assert!(m.is_empty() && m.to_vec().is_empty());
}

#[test]
fn packets_have_their_type() {
    let (p, mut c) = pair(small());
    p.send_packet(&HERE, SECOND).unwrap();
    {
        let m = c.recv(SECOND).unwrap();
        assert_eq!(m.as_packet::<Position>(), Some(&HERE));
        assert_eq!(m.read_packet::<Position>(), Some(HERE));
        assert_eq!(m.as_prefix::<Position>(), Some((&HERE, &[][..])));
    }
    p.send(8, &[0; 16], SECOND).unwrap();
    p.send(7, &[0; 15], SECOND).unwrap();
    for _ in 0..2 {
        let m = c.recv(SECOND).unwrap();
        assert!(m.as_packet::<Position>().is_none() && m.read_packet::<Position>().is_none());
        assert!(m.as_prefix::<Position>().is_none());
    }
}

#[test]
fn not_now_is_no_error() {
    let (p, mut c) = pair(small().backpressure(Backpressure::Fail));
    assert!(c.try_recv().unwrap().is_none());
    assert!(c.recv(Deadline::NOW).unwrap_err().would_block());
    assert!(c.recv(Duration::from_millis(5)).unwrap_err().is_timed_out());
    assert!(p.try_send(1, &[0; 1000]).unwrap());
    assert!(c.try_recv().unwrap().is_some());
    while p.try_send(1, &[0; 1000]).unwrap() {}
    assert_eq!(errno(p.send(1, &[0; 1000], SECOND)), EAGAIN);
    let (a, b) = (p.try_acquire().unwrap(), p.try_acquire().unwrap());
    assert!(a.is_some() && b.is_some() && p.try_acquire().unwrap().is_none());
}

#[test]
fn room_is_filled_in_place() {
    let (p, mut c) = pair(small());
    let mut room = p.begin(16, SECOND).unwrap();
    *room.as_packet_mut::<Position>().unwrap() = HERE;
    assert_eq!(errno(p.send(1, b"x", SECOND)), EBUSY);
    room.commit(7, 16).unwrap();
    assert!(c.try_recv().unwrap().is_none());
    p.flush().unwrap();
    assert_eq!(c.recv(SECOND).unwrap().as_packet::<Position>(), Some(&HERE));

    let mut room = p.begin(8, SECOND).unwrap();
    assert!(room.as_packet_mut::<Position>().is_none());
    assert_eq!(errno(room.commit(1, 9)), EINVAL);
    drop(p.begin(8, SECOND).unwrap());
    p.send(1, b"x", SECOND).unwrap();
    assert_eq!(errno(p.begin(1 << 20, SECOND)), EMSGSIZE);
}

#[test]
fn a_buffer_goes_through_in_place() {
    let (p, mut c) = pair(small());
    let mut b = p.acquire(SECOND).unwrap();
    assert_eq!(b.len(), 4096);
    *b.as_packet_mut::<Position>().unwrap() = HERE;
    b[16..21].copy_from_slice(b"hello");
    p.publish(b, 7, 21, krepis::CRC32C, SECOND).unwrap();
    let m = c.recv(SECOND).unwrap();
    assert!(m.in_buffer() && m.verify().unwrap());
    assert_eq!(m.as_prefix::<Position>(), Some((&HERE, &b"hello"[..])));
}

#[test]
fn what_is_not_published_goes_back() {
    let (p, _c) = pair(small());
    for _ in 0..10 {
        let (a, b) = (p.try_acquire().unwrap(), p.try_acquire().unwrap());
        assert!(a.is_some() && b.is_some());
        b.unwrap().abandon();
    }
}

#[test]
fn what_is_released_goes_back() {
    let (p, mut c) = pair(small());
    for i in 0..10u8 {
        for _ in 0..2 {
            let mut b = p.acquire(SECOND).unwrap();
            b[0] = i;
            p.publish(b, 1, 1, 0, SECOND).unwrap();
        }
        assert!(p.try_acquire().unwrap().is_none());
        assert_eq!(c.recv(SECOND).unwrap()[0], i);
        assert_eq!(c.recv(SECOND).unwrap()[0], i);
    }
    p.drain(SECOND).unwrap();
}

#[test]
fn a_buffer_that_is_refused_comes_back() {
    let channel = Channel::anonymous(&small()).unwrap();
    let p = Producer::new(&channel).unwrap();
    let mut b = p.acquire(SECOND).unwrap();
    b[0] = 9;
    let refused = p.publish(b, 1, 1, 0, SECOND).unwrap_err();
    assert!(refused.error.is_not_connected());
    let mut c = Consumer::new(&channel).unwrap();
    let refused = p.publish(refused.value, 1, 4097, 0, SECOND).unwrap_err();
    assert_eq!(refused.error.errno(), EMSGSIZE);
    let refused = p.publish(refused.value, 1, 1, krepis::native::KREPIS_PUBLISH_RETURN, SECOND).unwrap_err();
    assert_eq!(refused.error.errno(), EINVAL);
    let other = pair(small()).0;
    let refused = other.publish(refused.value, 1, 1, 0, SECOND).unwrap_err();
    assert_eq!(refused.error.errno(), EINVAL);
    p.publish(refused.value, 1, 1, 0, SECOND).unwrap();
    assert_eq!(c.recv(SECOND).unwrap()[0], 9);
}

#[test]
fn messages_in_buffers_live_on() {
    let (p, mut c) = pair(small());
    for i in 1..=2 {
        let mut b = p.acquire(SECOND).unwrap();
        b[0] = i;
        p.publish(b, 1, 1, 0, SECOND).unwrap();
    }
    let first = c.recv(SECOND).unwrap().into_shared().unwrap();
    let second = c.recv(SECOND).unwrap().into_shared().unwrap();
    assert_eq!((first[0], second[0]), (1, 2));
    let copy = first.clone();
    drop(first);
    assert!(p.try_acquire().unwrap().is_none());
    std::thread::spawn(move || assert_eq!(copy.kind() as u8 + copy[0], 2)).join().unwrap();
    assert!(p.try_acquire().unwrap().is_some());
}

#[test]
fn an_inline_message_is_not_shared() {
    let (p, mut c) = pair(small());
    p.send(1, b"x", SECOND).unwrap();
    let refused = c.recv(SECOND).unwrap().into_shared().unwrap_err();
    assert_eq!((refused.error.errno(), &refused.value[..]), (EINVAL, &b"x"[..]));
}

#[test]
fn a_shared_message_keeps_its_endpoint() {
    let channel = Channel::anonymous(&small()).unwrap();
    let (p, mut c) = (Producer::new(&channel).unwrap(), Consumer::new(&channel).unwrap());
    let mut b = p.acquire(SECOND).unwrap();
    b[0] = 4;
    p.publish(b, 1, 1, 0, SECOND).unwrap();
    let shared = c.recv(SECOND).unwrap().into_shared().unwrap();
    drop(c);
    assert_eq!((shared[0], channel.query().unwrap().live), (4, 1));
    drop(shared);
    assert_eq!(channel.query().unwrap().live, 0);
}

#[test]
fn who_cannot_write_in_place_is_told() {
    let (p, mut c) = pair(small());
    p.publish(p.acquire(SECOND).unwrap(), 1, 1, 0, SECOND).unwrap();
    assert_eq!(errno(c.recv(SECOND).unwrap().edit()), 13);
}

#[test]
fn next_ends_when_the_producer_goes() {
    let (p, mut c) = pair(small());
    for i in 0..3 {
        p.send(i, b"x", SECOND).unwrap();
    }
    drop(p);
    let mut kinds = vec![];
    while let Some(m) = c.next(SECOND).unwrap() {
        kinds.push(m.kind());
    }
    assert_eq!(kinds, [0, 1, 2]);
    assert!(c.recv(SECOND).unwrap_err().is_peer_gone());
    assert!(c.wait(SECOND).unwrap_err().is_peer_gone());
}

#[test]
fn for_each_counts() {
    let (p, mut c) = pair(small());
    p.send(1, b"abc", SECOND).unwrap();
    p.send(1, b"de", SECOND).unwrap();
    drop(p);
    let mut bytes = 0;
    assert_eq!(c.for_each(SECOND, |m| bytes += m.len()), Ok(2));
    assert_eq!(bytes, 5);
}

#[test]
fn who_is_lapped_is_told_how_much() {
    let (p, mut c) = pair(small().backpressure(Backpressure::Overwrite));
    for _ in 0..100 {
        p.send(1, &[0; 500], SECOND).unwrap();
    }
    let error = c.recv(SECOND).unwrap_err();
    assert!(matches!(error, Error::Lapped { lost: 80..=99 }), "{:?}", error);
    assert!(error.to_string().contains("overwritten"));
    assert_eq!(c.recv(SECOND).unwrap().len(), 500);
}

#[test]
fn waits_wait() {
    let (p, mut c) = pair(small());
    p.wait_peer(1, SECOND).unwrap();
    c.wait_peer(1, SECOND).unwrap();
    assert_eq!(errno(c.wait_peer(2, SECOND)), EINVAL);
    p.wait(SECOND).unwrap();
    assert!(c.wait(Duration::from_millis(5)).unwrap_err().is_timed_out());
    p.send(1, b"x", SECOND).unwrap();
    c.wait(SECOND).unwrap();
    assert!(p.drain(Duration::from_millis(5)).unwrap_err().is_timed_out());
    drop(c.recv(SECOND).unwrap());
    p.drain(SECOND).unwrap();
    assert_eq!(p.query().unwrap().counters.messages, 1);
}

#[test]
fn another_thread_shuts_down() {
    let (_p, mut c) = pair(small());
    let stopper = c.stopper();
    let began = Instant::now();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        stopper.shutdown();
        stopper
    });
    assert!(c.recv(Deadline::FOREVER).unwrap_err().is_shutdown());
    assert!(began.elapsed() < 5 * SECOND);
    assert!(c.next(SECOND).unwrap().is_none());
    drop(c);
    thread.join().unwrap().shutdown(); // nobody is there: nothing happens
}

#[test]
fn other_threads_acquire_and_fill() {
    let (p, mut c) = pair(small());
    let (sender, filled) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let acquirer = p.acquirer();
        for i in 1..=2u8 {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut b = acquirer.try_acquire().unwrap().unwrap();
                b[0] = i;
                sender.send(b).unwrap();
            });
        }
        for _ in 0..2 {
            p.publish(filled.recv().unwrap(), 1, 1, 0, SECOND).unwrap();
        }
        assert!(scope.spawn(move || acquirer.try_acquire().unwrap().is_none()).join().unwrap());
    });
    let first = c.recv(SECOND).unwrap()[0];
    assert_eq!(first + c.recv(SECOND).unwrap()[0], 3);
}

#[test]
fn an_endpoint_goes_to_another_thread() {
    let (p, mut c) = pair(small());
    let thread = std::thread::spawn(move || p.send(1, b"x", SECOND));
    assert_eq!(c.recv(5 * SECOND).unwrap().kind(), 1);
    thread.join().unwrap().unwrap();
}

#[test]
fn batches_go_through() {
    let (p, mut c) = pair(small());
    let mut sent = 0u32;
    let mut batch = p.batch(krepis::batch_bytes(10, 12), SECOND).unwrap();
    assert!(batch.put(1, 5000).is_none() && batch.put(1, usize::MAX).is_none());
    while let Some(room) = batch.put(sent as u16, 12) {
        room.fill(sent as u8);
        sent += 1;
    }
    assert!(sent >= 10);
    assert_eq!(errno(p.send(1, b"x", SECOND)), EBUSY);
    batch.commit().unwrap();
    {
        let batch = c.recv_batch(SECOND).unwrap();
        assert_eq!(batch.next(), Some((0, &[0u8; 12][..])));
        assert_eq!(batch.next(), Some((1, &[1u8; 12][..])));
    } // two are done with
    let batch = c.recv_batch(SECOND).unwrap();
    for i in 2..sent {
        assert_eq!(batch.next(), Some((i as u16, &[i as u8; 12][..])));
    }
    assert!(batch.next().is_none());
    batch.done().unwrap();
    p.drain(SECOND).unwrap();
    assert_eq!(c.query().unwrap().counters.messages, u64::from(sent));
}

#[test]
fn a_batch_that_is_dropped_sends_nothing() {
    let (p, mut c) = pair(small());
    let mut batch = p.batch(krepis::batch_bytes(1, 8), SECOND).unwrap();
    batch.put(1, 8).unwrap();
    drop(batch);
    assert!(c.try_recv().unwrap().is_none());
    p.send(2, b"x", SECOND).unwrap();
    assert_eq!(c.recv(SECOND).unwrap().kind(), 2);
    assert_eq!(errno(p.batch(0, SECOND)), EMSGSIZE);
}

#[test]
fn a_batch_leaves_buffers_alone() {
    let (p, mut c) = pair(small());
    p.send(1, b"x", SECOND).unwrap();
    p.publish(p.acquire(SECOND).unwrap(), 2, 1, 0, SECOND).unwrap();
    {
        let batch = c.recv_batch(SECOND).unwrap();
        assert!(batch.next().is_some() && batch.next().is_none());
    }
    assert_eq!(errno(c.recv_batch(SECOND)), 42); // ENOMSG
    assert!(c.recv(SECOND).unwrap().in_buffer());
}

#[test]
fn what_does_not_go_together_is_refused() {
    let channel = Channel::anonymous(&small().max_consumers(1)).unwrap();
    let (p, _c) = (Producer::new(&channel).unwrap(), Consumer::new(&channel).unwrap());
    assert_eq!(errno(Producer::new(&channel)), EBUSY);
    assert_eq!(errno(Consumer::new(&channel)), 87); // EUSERS
    assert_eq!(errno(krepis::TripleProducer::new(&channel)), EINVAL);
    assert_eq!(errno(krepis::TripleConsumer::new(&channel)), EINVAL);
    assert_eq!(errno(Producer::with_flags(&channel, 1 << 30)), EINVAL);
    assert_eq!(errno(p.send(1, &[0; 1 << 20], SECOND)), EMSGSIZE);
    let none = pair(Options::new().no_buffers());
    assert_eq!(errno(none.0.acquire(SECOND)), 95); // EOPNOTSUPP
}

#[test]
fn endpoints_live_without_their_channel() {
    let channel = Channel::anonymous(&small()).unwrap();
    assert_eq!((channel.kind().unwrap(), channel.guarantee().unwrap()), (Kind::Ring, Guarantee::Cooperative));
    let p = Producer::with_flags(&channel, attach::NO_SPIN | attach::NO_CACHE).unwrap();
    let mut c = Consumer::with_flags(&channel, attach::NO_SPIN).unwrap();
    drop(channel);
    p.send(1, b"x", SECOND).unwrap();
    assert_eq!(c.recv(SECOND).unwrap().kind(), 1);
}

#[test]
fn a_descriptor_is_there_to_wait_for() {
    let (p, c) = pair(small());
    assert!(p.fd().unwrap() >= 0);
    assert_eq!(c.fd().unwrap(), c.fd().unwrap());
}

#[test]
fn messages_outlive_their_producer() {
    let (p, mut c) = pair(small());
    let mut b = p.acquire(SECOND).unwrap();
    b[0] = 6;
    p.publish(b, 1, 1, 0, SECOND).unwrap();
    p.send(2, b"x", SECOND).unwrap();
    let shared = c.recv(SECOND).unwrap().into_shared().unwrap();
    drop(p);
    assert_eq!((shared[0], c.recv(SECOND).unwrap().kind()), (6, 2));
    drop(c);
    assert_eq!(shared[0], 6);
}

#[test]
fn what_is_forgotten_does_no_harm() {
    let (p, mut c) = pair(small());
    for _ in 0..100 {
        p.send(1, &[0; 500], SECOND).unwrap();
        std::mem::forget(c.recv(SECOND).unwrap());
    }
    std::mem::forget(p.acquire(SECOND).unwrap());
    let last = p.try_acquire().unwrap().unwrap();
    assert!(p.try_acquire().unwrap().is_none());
    p.publish(last, 1, 1, 0, SECOND).unwrap();
    std::mem::forget(c.recv(SECOND).unwrap());
    assert!(p.try_acquire().unwrap().is_none());
    std::mem::forget(p.begin(8, SECOND).unwrap());
    assert_eq!(errno(p.send(1, b"x", SECOND)), EBUSY);
    drop(c);
    drop(p);
}
