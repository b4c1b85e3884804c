//! Network cards that QEMU emulates, three on one hub: two communicate, the third receives a copy as at a SPAN port.

/// A kind of card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Name on the command line and in the table.
    pub name: &'static str,
    device: &'static str,
    /// Module of its driver.
    pub driver: &'static str,
    /// A card on PCI Express needs a root port: its virtual functions use the slots beside it.
    has_port: bool,
}

/// All cards that are tested.
pub const CARDS: [Card; 7] = [
    Card {
        name: "virtio-net",
        device: "virtio-net-pci",
        driver: "virtio_net",
        has_port: false,
    },
    Card {
        name: "virtio-net-iommu",
        device: "virtio-net-pci,iommu_platform=on,disable-legacy=on",
        driver: "virtio_net",
        has_port: false,
    },
    // The driver cannot run XDP: the host leaves checksums unfinished, and the guest cannot forbid it.
    Card {
        name: "virtio-net-no-ctrl",
        device: "virtio-net-pci,ctrl_guest_offloads=off",
        driver: "virtio_net",
        has_port: false,
    },
    // The driver accepts an XDP program and does not run it.
    Card {
        name: "virtio-net-no-mrg",
        device: "virtio-net-pci,mrg_rxbuf=off",
        driver: "virtio_net",
        has_port: false,
    },
    Card {
        name: "e1000e",
        device: "e1000e",
        driver: "e1000e",
        has_port: true,
    },
    Card {
        name: "vmxnet3",
        device: "vmxnet3",
        driver: "vmxnet3",
        has_port: false,
    },
    Card {
        name: "igb",
        device: "igb",
        driver: "igb",
        has_port: true,
    },
];

impl Card {
    /// Model that QEMU must offer.
    pub fn model(&self) -> &'static str {
        self.device.split(',').next().unwrap_or(self.device)
    }

    /// QEMU's arguments for three cards, eth0 to eth2 in the guest.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for n in 0..3 {
            let mut bus = String::new();
            if self.has_port {
                arguments.push("-device".to_owned());
                arguments.push(format!("pcie-root-port,id=port{n},chassis={}", n + 1));
                bus = format!(",bus=port{n}");
            }
            arguments.push("-netdev".to_owned());
            arguments.push(format!("hubport,id=n{n},hubid=1"));
            arguments.push("-device".to_owned());
            arguments.push(format!(
                "{},netdev=n{n},mac=52:54:00:00:00:0{n}{bus}",
                self.device
            ));
        }
        arguments
    }
}
