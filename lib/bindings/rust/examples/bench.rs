// SPDX-License-Identifier: MIT
//! What a call costs, beside the same in C (tests/bindings/bench/bench.c): two lines of nanoseconds.

use krepis::{Channel, Consumer, Deadline, Options, Producer, Result};
use std::time::Instant;

const ROUNDS: u32 = 1_000_000;
const BUFFER: usize = 4096;

fn timed(name: &str, mut one: impl FnMut(u32) -> Result<()>) -> Result<()> {
    let began = Instant::now();
    for i in 0..ROUNDS {
        one(i)?;
    }
    println!("{} {:.2}", name, began.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    Ok(())
}

/// As C's volatile does.
fn look(byte: &u8) {
    // SAFETY: a reference.
    unsafe { std::ptr::read_volatile(byte) };
}

fn main() -> Result<()> {
    let channel = Channel::anonymous(&Options::new().buffer_size(BUFFER as u64))?;
    let producer = Producer::new(&channel)?;
    let mut consumer = Consumer::new(&channel)?;
    let mut data = [0u8; 64];
    timed("inline", |i| {
        data[0] = i as u8;
        producer.send(1, &data, Deadline::FOREVER)?;
        let message = consumer.recv(Deadline::FOREVER)?;
        look(&message[0]);
        Ok(())
    })?;
    timed("buffer", |i| {
        let mut buffer = producer.acquire(Deadline::FOREVER)?;
        buffer[0] = i as u8;
        producer.publish(buffer, 1, BUFFER, 0, Deadline::FOREVER)?;
        let message = consumer.recv(Deadline::FOREVER)?;
        look(&message[0]);
        Ok(())
    })
}
