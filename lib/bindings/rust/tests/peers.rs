// SPDX-License-Identifier: MIT
//! Two processes: the peer of examples/peer.rs, and that of KREPIS_PEER_C if it is said.

use krepis::{Channel, Consumer, Deadline, Options, Producer};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

#[allow(dead_code)]
#[path = "../examples/sample/mod.rs"]
mod sample;

const COUNT: &str = "100000";
const KINDS: [&str; 3] = ["ring", "buffer", "triple"];

fn rust_peer() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/peer")
}

/// Of each language that is there.
fn peers() -> Vec<PathBuf> {
    let c = std::env::var_os("KREPIS_PEER_C").map(PathBuf::from);
    [Some(rust_peer()), c].into_iter().flatten().collect()
}

struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = krepis::unlink(&self.0);
    }
}

fn channel(name: &str, kind: &str, layout: u32) -> (Name, Channel) {
    let path = PathBuf::from(format!("/dev/shm/krepis-peers-{}-{}", std::process::id(), name));
    let options = Options::new().buffer_size(8192).layout(layout);
    let options = if kind == "triple" { options.triple() } else { options.buffer_count(8) };
    let channel = Channel::create(&path, &options).unwrap();
    (Name(path), channel)
}

fn start(peer: &Path, role: &str, kind: &str, channel: &Name, count: &str) -> Child {
    Command::new(peer)
        .args([role, kind])
        .arg(&channel.0)
        .arg(count)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_string()
}

fn assert_good(output: Output) {
    assert_eq!(text(&output.stderr), "");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), format!("ok {}", COUNT)));
}

#[test]
fn each_with_each_other() {
    for kind in KINDS {
        for (i, producer) in peers().iter().enumerate() {
            for (j, consumer) in peers().iter().enumerate() {
                let (name, _channel) = channel(&format!("{}{}{}", kind, i, j), kind, sample::LAYOUT_ID);
                let reader = start(consumer, "consume", kind, &name, COUNT);
                let writer = start(producer, "produce", kind, &name, COUNT);
                assert_good(writer.wait_with_output().unwrap());
                assert_good(reader.wait_with_output().unwrap());
            }
        }
    }
}

#[test]
fn another_layout_is_named() {
    let (name, _channel) = channel("layout", "ring", 0x1234);
    for role in ["produce", "consume"] {
        let output = start(&rust_peer(), role, "ring", &name, "1").wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{}", said);
        assert!(said.contains("0x00001234") && said.contains(&format!("0x{:08x}", sample::LAYOUT_ID)), "{}", said);
    }
}

#[test]
fn a_killed_producer_is_noticed() {
    let (name, channel) = channel("producer", "ring", sample::LAYOUT_ID);
    let mut c = Consumer::new(&channel).unwrap();
    let mut peer = start(&rust_peer(), "produce", "ring", &name, "0");
    drop(c.recv(Duration::from_secs(10)).unwrap());
    peer.kill().unwrap();
    let killed = Instant::now();
    while c.next(Duration::from_secs(10)).unwrap().is_some() {}
    assert!(killed.elapsed() < Duration::from_secs(5));
    assert_eq!(c.query().unwrap().producer_deaths, 1);
    peer.wait().unwrap();
}

#[test]
fn a_killed_consumer_is_noticed() {
    let (name, channel) = channel("consumer", "buffer", sample::LAYOUT_ID);
    let p = Producer::new(&channel).unwrap();
    let mut peer = start(&rust_peer(), "consume", "buffer", &name, "0");
    p.wait_peer(1, Duration::from_secs(10)).unwrap();
    peer.kill().unwrap();
    let deadline = Deadline::after(Duration::from_secs(5));
    let error = loop {
        if let Err(error) = p.send(1, &[0; 64], deadline) {
            break error;
        }
    };
    assert!(error.is_peer_gone(), "{}", error);
    peer.wait().unwrap();
}

#[test]
fn a_dead_peer_ends_a_peer() {
    for (victim, survivor) in [("produce", "consume"), ("consume", "produce")] {
        for kind in ["ring", "buffer"] {
            let (name, channel) = channel(&format!("dead{}{}", victim, kind), kind, sample::LAYOUT_ID);
            let living = start(&rust_peer(), survivor, kind, &name, "0");
            let mut dying = start(&rust_peer(), victim, kind, &name, "0");
            let patience = Deadline::after(Duration::from_secs(10));
            while channel.query().unwrap().counters.messages == 0 && !patience.passed() {
                std::thread::sleep(Duration::from_millis(5));
            }
            dying.kill().unwrap();
            dying.wait().unwrap();
            let output = living.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
            assert!(text(&output.stderr).starts_with("gone after "));
        }
    }
}
