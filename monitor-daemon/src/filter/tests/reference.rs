//! Random filters, printed and compiled, beside a reference model: it evaluates each primitive by its text, and joints
//! by recursion.

use proptest::prelude::*;

use crate::filter::*;

/// A filter as a tree.
#[derive(Clone, Debug)]
enum Tree {
    /// Qualifiers and a value, as written.
    Primitive(&'static str, String),
    Vlan(Option<u16>),
    Word(&'static str),
    Not(Box<Tree>),
    Join(bool, Box<Tree>, Box<Tree>),
}

const QUALIFIERS: [&str; 18] = [
    "host",
    "src host",
    "dst",
    "src or dst",
    "src and dst host",
    "dst or src",
    "net",
    "src net",
    "dst net",
    "src and dst net",
    "port",
    "src port",
    "tcp dst port",
    "tcp port",
    "src and dst port",
    "portrange",
    "tcp src portrange",
    "dst portrange",
];

/// Few of each, so that filters are often right.
const V4: [u32; 4] = [0x0a00_0001, 0x0a00_0002, 0x0a01_0001, 0xc0a8_0001];
const V6: [u128; 3] = [
    0x2001_0db8 << 96 | 1,
    0x2001_0db8 << 96 | 2,
    0xfe80 << 112 | 1,
];
const PORTS: [u16; 5] = [22, 80, 443, 1024, 65535];

fn address() -> impl Strategy<Value = String> {
    let v4 = prop::sample::select(&V4[..])
        .prop_map(|bits| std::net::Ipv4Addr::from_bits(bits).to_string());
    let v6 = prop::sample::select(&V6[..])
        .prop_map(|bits| std::net::Ipv6Addr::from_bits(bits).to_string());
    prop_oneof![v4, v6]
}

/// Cut to its length, as tcpdump wants it.
fn network() -> impl Strategy<Value = String> {
    let v4 = (prop::sample::select(&V4[..]), 0..=32_u32).prop_map(|(bits, len)| {
        let kept = u64::from(bits) >> (32 - len) << (32 - len);
        format!("{}/{len}", std::net::Ipv4Addr::from_bits(kept as u32))
    });
    let v6 = (prop::sample::select(&V6[..]), 0..=128_u32).prop_map(|(bits, len)| {
        let kept = bits
            .checked_shr(128 - len)
            .and_then(|bits| bits.checked_shl(128 - len))
            .unwrap_or(0);
        format!("{}/{len}", std::net::Ipv6Addr::from_bits(kept))
    });
    prop_oneof![v4, v6]
}

fn value(qualifiers: &'static str) -> BoxedStrategy<String> {
    let port = || prop::sample::select(&PORTS[..]);
    match qualifiers.rsplit(' ').next().unwrap() {
        "port" => port().prop_map(|port| port.to_string()).boxed(),
        "portrange" => (port(), port())
            .prop_map(|(first, last)| format!("{first}-{last}"))
            .boxed(),
        "net" => network().boxed(),
        _ => address().boxed(),
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let primitive = prop::sample::select(&QUALIFIERS[..]).prop_flat_map(|qualifiers| {
        value(qualifiers).prop_map(move |value| Tree::Primitive(qualifiers, value))
    });
    let leaf = prop_oneof![
        8 => primitive,
        2 => prop::option::of(1..3_u16).prop_map(Tree::Vlan),
        1 => prop::sample::select(&["tcp", "ip", "ip6"][..]).prop_map(Tree::Word),
    ];
    leaf.prop_recursive(6, 40, 2, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            4 => (any::<bool>(), inner.clone(), inner)
                .prop_map(|(and, left, right)| Tree::Join(and, Box::new(left), Box::new(right))),
        ]
    })
}

fn ends() -> impl Strategy<Value = (SocketAddr, SocketAddr, Vec<u16>)> {
    let v4 = || prop::sample::select(&V4[..]).prop_map(|bits| std::net::IpAddr::V4(bits.into()));
    let v6 = || prop::sample::select(&V6[..]).prop_map(|bits| std::net::IpAddr::V6(bits.into()));
    let port = || prop::sample::select(&PORTS[..]);
    (
        prop_oneof![(v4(), v4()), (v6(), v6())],
        port(),
        port(),
        prop::collection::vec(1..3_u16, 0..3),
    )
        .prop_map(|((client, server), from, to, vlan)| {
            ((client, from).into(), (server, to).into(), vlan)
        })
}

/// Prints it with as few parentheses and words as `spare` and the language allow.
struct Printer {
    text: String,
    /// Bits that say where something is left out, or written otherwise.
    spare: u64,
    /// The qualifiers that a value alone would get.
    implied: Option<&'static str>,
}

impl Printer {
    fn chance(&mut self) -> bool {
        self.spare = self.spare.rotate_left(1);
        self.spare & 1 == 1
    }

    fn print(&mut self, tree: &Tree) {
        match tree {
            Tree::Primitive(qualifiers, value) => {
                if self.implied != Some(qualifiers) || self.chance() {
                    self.text += qualifiers;
                    self.text += " ";
                    self.implied = Some(qualifiers);
                }
                self.text += value;
            }
            Tree::Vlan(id) => {
                self.text += &id.map_or("vlan".to_owned(), |id| format!("vlan {id}"));
                self.implied = None;
            }
            Tree::Word(word) => {
                self.text += word;
                self.implied = None;
            }
            Tree::Not(inner) => {
                let word = if self.chance() { "not " } else { "!" };
                self.text += word;
                self.operand(inner, matches!(**inner, Tree::Join(..)));
            }
            Tree::Join(and, left, right) => {
                self.operand(left, false);
                let words = if *and {
                    [" and ", "&&"]
                } else {
                    [" or ", "||"]
                };
                let word = words[usize::from(self.chance())];
                self.text += word;
                self.operand(right, matches!(**right, Tree::Join(..)));
            }
        }
    }

    fn operand(&mut self, tree: &Tree, needs_parentheses: bool) {
        let parentheses = needs_parentheses || self.chance();
        if !parentheses {
            return self.print(tree);
        }
        let implied = self.implied;
        self.text += "( ";
        self.print(tree);
        self.text += ")";
        self.implied = implied;
    }
}

/// The answer, and which tag the next `vlan` is about.
fn judge(
    tree: &Tree,
    (client, server, vlan): (&SocketAddr, &SocketAddr, &[u16]),
    tag: usize,
) -> (bool, usize) {
    let ends = (client, server, vlan);
    match tree {
        Tree::Word("tcp") => (true, tag),
        Tree::Word(word) => (client.to_string().starts_with('[') == (*word == "ip6"), tag),
        Tree::Vlan(id) => (
            vlan.len() > tag && id.is_none_or(|id| vlan[tag] == id),
            tag + 1,
        ),
        Tree::Primitive(qualifiers, value) => (primitive(qualifiers, value, [client, server]), tag),
        Tree::Not(inner) => (!judge(inner, ends, tag).0, tag),
        Tree::Join(and, left, right) => {
            // A chain's alternatives begin with the chain; the term left of this joint begins it.
            let (left, after) = judge(left, ends, tag);
            let (right, last) = judge(right, ends, if *and { after } else { tag });
            (
                if *and { left && right } else { left || right },
                after.max(last),
            )
        }
    }
}

fn primitive(qualifiers: &str, value: &str, [client, server]: [&SocketAddr; 2]) -> bool {
    let words: Vec<_> = qualifiers.split(' ').collect();
    let holds = |end: &SocketAddr| match words.last().copied() {
        Some("port") => end.port().to_string() == value,
        Some("portrange") => {
            let mut range: Vec<u16> = value.split('-').map(|port| port.parse().unwrap()).collect();
            range.sort_unstable();
            range[0] <= end.port() && end.port() <= range[1]
        }
        Some("net") => {
            let (network, len) = value.split_once('/').unwrap();
            let (network, address) = (digits(network.parse().unwrap()), digits(end.ip()));
            network.len() == address.len()
                && network[..len.parse().unwrap()] == address[..len.parse().unwrap()]
        }
        _ => end.ip().to_string() == value,
    };
    let says = |word| words.contains(&word);
    match (says("src"), says("dst"), says("and")) {
        (true, true, true) => holds(client) && holds(server),
        (true, false, _) => holds(client),
        (false, true, _) => holds(server),
        _ => holds(client) || holds(server),
    }
}

/// An address in binary.
fn digits(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
        std::net::IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn compiled_filters_judge_as_their_trees_do(
        tree in tree(),
        spare in any::<u64>(),
        ends in prop::collection::vec(ends(), 1..20),
    ) {
        let mut printer = Printer { text: String::new(), spare, implied: None };
        printer.print(&tree);
        let filter = match Filter::compile(&printer.text) {
            Ok(filter) => filter,
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        for (client, server, vlan) in &ends {
            let expected = judge(&tree, (client, server, vlan), 0).0;
            prop_assert_eq!(filter.matches_ends(*client, *server, vlan), expected, "{} {:?}", printer.text, ends);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in "[a-z0-9 ().:/!&|é-]{0,80}") {
        if let Err(error) = Filter::compile(&text) {
            prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
            prop_assert_eq!(error.to_string().lines().count(), 3);
        }
    }
}
