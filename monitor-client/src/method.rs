//! The methods, by name.

macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A method of the RPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Method {
            /// All of them, in the order of the reference.
            pub const ALL: &[Method] = &[$(Method::$variant),+];

            /// Its name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Method::$variant => $name,)+ }
            }

            /// The method of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Method::$variant),)+ _ => None }
            }
        }
    };
}

methods! {
    /// Who serves, and what it can do.
    Hello = "hello",
    /// Connections, in pages.
    Sockets = "sockets",
    /// The newest connection between two ends.
    Lookup = "lookup",
    /// One connection.
    Info = "info",
    /// Retained runs of bytes of one side.
    Fragments = "fragments",
    /// Bytes of one side from an offset on.
    Ppeek = "ppeek",
    /// Every counter.
    Stats = "stats",
}

impl Method {
    /// Whether nothing but the reply comes of it, so that a client that got none may ask again. The list is of those that
    /// are known to be: a new method is not, until somebody has thought about it.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        use Method::*;
        matches!(self, Hello | Sockets | Lookup | Info | Fragments | Ppeek | Stats)
    }
}
