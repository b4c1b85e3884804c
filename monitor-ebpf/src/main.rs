//! BPF programs: a thin shell over monitor-common, which parses the headers and decides.
//!
//! `steer` (XDP) redirects each TCP packet of its interface into the AF_XDP socket of its flow's worker. `tap` (TC)
//! clones each TCP packet of an interface of the host into a monitor device, where `steer` runs; `retag` (TC) restores
//! VLAN tags of clones. The programs of packet sockets are an object of their own (`socket/`), since the kernel would
//! refuse the maps of this one without CAP_NET_ADMIN. Each interface has a loaded object of its own.
//!
//! **Invariant:** `tap` never changes, delays or drops a packet of the host.
#![no_std]
#![no_main]

#[macro_use]
mod config;
mod count;
mod increment;
mod packet;
mod shunt;
mod steer;
mod tap;

/// Required by the compiler. No code that can panic is compiled into a program: the verifier refuses the loop.
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
