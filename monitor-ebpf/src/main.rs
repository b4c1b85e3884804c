//! The kernel's side: a thin shell over monitor-common, where the headers are read and the decisions are made.
//!
//! `steer` (XDP) gives each TCP packet of its interface to the AF_XDP socket of its flow's worker. `tap` (TC) clones
//! each TCP packet of an interface of the host into a monitor device, whose `steer` then does the same; `retag` (TC)
//! helps it with VLAN tags. One loaded object serves one interface.
//!
//! **Architecture invariant:** `tap` never changes, delays or drops a packet of the host.
#![no_std]
#![no_main]

mod config;
mod count;
mod packet;
mod shunt;
mod steer;
mod tap;

/// Nothing that can panic is compiled into a program: the verifier has no place for it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[expect(
    unsafe_code,
    reason = "the kernel reads the license from a section of this name"
)]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
