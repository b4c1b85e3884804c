//! Handshakes: the kernel's end listens or connects, and forged segments come between.

use std::net::SocketAddr;

use super::kernel::{Application, Listener, begin_connect};
use super::peer::{Forgery, Offer, Peer};
use super::tun::Tun;
use crate::wiregen::Random;
use crate::wiregen::flags::{ACK, FIN, PSH, RST, SYN};

/// Draws the options of a SYN.
pub fn offer(random: &mut Random) -> Offer {
    Offer {
        timestamps: random.chance(50),
        sack: random.chance(60),
        scale: random.chance(60).then(|| random.below(10) as u8),
    }
}

/// Calls a listening socket. Returns the application if the kernel has accepted the connection.
pub fn call(
    tun: &Tun,
    peer: &mut Peer,
    listener: &Listener,
    random: &mut Random,
) -> Option<Application> {
    let early = if random.chance(10) {
        let len = 1 + random.below(40);
        random.bytes(len)
    } else {
        Vec::new()
    };
    peer.honest(tun, "syn", peer.isn, SYN, &early);
    if random.chance(10) {
        peer.honest(tun, "syn again", peer.isn, SYN, &[]);
    }
    if random.chance(20) {
        forge(tun, peer, random);
    }
    if peer.kernel_next == 0 {
        return None;
    }
    peer.honest(tun, "third", peer.seq(0), ACK, &[]);
    listener
        .accept()
        .filter(|(_, remote)| *remote == peer.address)
        .map(|(application, _)| application)
}

/// Lets the kernel connect to the script's end. Returns nothing if it sends no SYN: the addresses are in TIME-WAIT.
pub fn answer(
    tun: &Tun,
    peer: &mut Peer,
    random: &mut Random,
    buffer: Option<usize>,
) -> Option<Application> {
    let application = begin_connect(peer.kernel, peer.address, buffer);
    peer.drain(tun);
    if !peer.answers.iter().any(|segment| segment.flags & SYN != 0) {
        return None;
    }
    if random.chance(20) {
        let random_ack = random.number() as u32;
        let (bits, forged) = match random.below(3) {
            // Acknowledges another SYN: the kernel answers with RST.
            0 => (
                SYN | ACK,
                Forgery {
                    ack_by: random_ack | 1,
                    ..Forgery::default()
                },
            ),
            1 => (
                RST | ACK,
                Forgery {
                    ack_by: random_ack | 1,
                    ..Forgery::default()
                },
            ),
            _ => (ACK | PSH, Forgery::default()),
        };
        let seq = random.number() as u32;
        peer.send(tun, "before the answer", (seq, bits), b"forged", &forged);
        peer.reset = false;
    }
    if random.chance(10) && peer.offer.scale.is_some() {
        // Simultaneous open. Linux scales its window even if the other SYN offers no scale, which no packet shows.
        peer.honest(tun, "syn", peer.isn, SYN, &[]);
        peer.honest(tun, "syn-ack", peer.isn, SYN | ACK, &[]);
    } else {
        peer.honest(tun, "syn-ack", peer.isn, SYN | ACK, &[]);
        if random.chance(10) {
            peer.honest(tun, "syn-ack again", peer.isn, SYN | ACK, &[]);
        }
    }
    Some(application)
}

/// Sends a segment between the SYN-ACK and the acknowledgment of it.
fn forge(tun: &Tun, peer: &mut Peer, random: &mut Random) {
    let forged = Forgery {
        ack_by: [0, 5000, 0x4000_0000][random.below(3)],
        ..Forgery::default()
    };
    let place = [0, 0, 50, 0x2000_0000][random.below(4)];
    let seq = peer.seq(place);
    let payload = random.bytes(20);
    match random.below(4) {
        0 => peer.send(tun, "early data", (seq, PSH), &payload, &forged),
        1 => peer.send(tun, "early fin", (seq, FIN), &[], &forged),
        2 => peer.send(
            tun,
            "early rst",
            (peer.seq(0x2000_0000), RST),
            &[],
            &Forgery::default(),
        ),
        _ => peer.send(
            tun,
            "other syn",
            (peer.seq(0x3000_0000), SYN),
            &[],
            &Forgery::default(),
        ),
    }
    peer.reset = false;
}

/// Address of the kernel's end for a family.
pub fn kernel_address(v6: bool, port: u16) -> SocketAddr {
    let host = if v6 { "[fd09::1]" } else { "10.9.0.1" };
    format!("{host}:{port}").parse().expect("an address")
}
