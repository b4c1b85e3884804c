//! Headers of packets that the system's C headers define; here they are pointed to only.

/// Ethernet header of <linux/if_ether.h>.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[derive(Debug)]
#[repr(C)]
pub struct ethhdr([u8; 14]);

/// IPv4 header of <netinet/ip.h>.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[derive(Debug)]
#[repr(C)]
pub struct iphdr([u8; 20]);

/// TCP header of <linux/tcp.h>.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[derive(Debug)]
#[repr(C)]
pub struct tcphdr([u8; 20]);
