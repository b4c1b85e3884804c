//! Packets from capture files: pcap and pcapng, also gzipped.
