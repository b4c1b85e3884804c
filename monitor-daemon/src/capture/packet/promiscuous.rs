//! Promiscuous mode of a mirror port, without which packets for other stations are not received.

use rustix::fd::OwnedFd;

use super::options;
use crate::capture::CaptureError;
use crate::capture::netlink::Interface;

/// Request for promiscuous mode. Dropping it ends the mode, unless another socket requested it.
#[derive(Debug)]
pub struct Promiscuous(Option<OwnedFd>);

impl Promiscuous {
    /// Requests the mode.
    ///
    /// # Errors
    /// The kernel refuses, for example without CAP_NET_RAW.
    pub fn request(interface: &Interface) -> Result<Self, CaptureError> {
        let socket = options::create().and_then(|socket| {
            options::promiscuous(&socket, interface.index)?;
            Ok(socket)
        });
        let socket = socket.map_err(|source| CaptureError::Promiscuous {
            interface: interface.name.clone(),
            source,
        })?;
        Ok(Self(Some(socket)))
    }

    /// Requests the mode again. Some drivers (vmxnet3) forget it while the interface is down, and the kernel notifies
    /// the driver only of the first request and of the end of the last.
    ///
    /// # Errors
    /// As for [`Promiscuous::request`].
    pub fn renew(&mut self, interface: &Interface) -> Result<(), CaptureError> {
        self.0 = None;
        *self = Self::request(interface)?;
        Ok(())
    }
}
