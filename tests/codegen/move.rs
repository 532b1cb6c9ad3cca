// SPDX-License-Identifier: MIT
//! What tests/codegen/versions.py compares, in Rust: write FILE, or read FILE...

#[path = "made.rs"]
mod made;

use made::Move;
use std::fs;

fn message() -> Move {
    let mut message = Move::decode(&[16u32.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat()).unwrap();
    message.number = 7;
    message.time_ns = 1 << 40;
    #[cfg(added)]
    {
        message.set_name([b'x'; 16]);
        message.set_place(made::Place { x: -1, y: 2 });
        message.speed = 1.5;
    }
    message
}

fn show(bytes: &[u8]) -> String {
    let Some(message) = Move::decode(bytes) else {
        return "refused".to_string();
    };
    let text = format!("{} {} {}", message.size, message.number, message.time_ns);
    #[cfg(added)]
    let text = {
        let mut text = format!("{text} {} {}", message.speed * 2.0, message.kind.0);
        if let Some(place) = message.place() {
            text += &format!(" place {} {}", place.x, place.y);
        }
        if let Some(name) = message.name() {
            text += &format!(" name {}", String::from_utf8_lossy(name).trim_end_matches('\0'));
        }
        text
    };
    text
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "write" {
        fs::write(&args[2], message().encode()).unwrap();
        return;
    }
    for path in &args[2..] {
        println!("{}", show(&fs::read(path).unwrap()));
    }
}
