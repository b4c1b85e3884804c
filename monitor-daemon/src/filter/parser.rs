//! Tokens to an expression.

use std::borrow::Cow;

use ipnet::IpNet;

use super::ast::{Direction, Expression, Joint, Test};
use super::error::{FilterError, Problem};
use super::lexer::{self, Kind, Token};
use super::limits::{MAX_DEPTH, MAX_LEN};
use super::values;

/// Reads a filter; `None` if it is empty.
pub(super) fn parse(text: &str) -> Result<Option<Expression>, FilterError> {
    if text.len() > MAX_LEN {
        return Err(FilterError::new(
            text,
            text.floor_char_boundary(MAX_LEN),
            0,
            Problem::TooLong,
        ));
    }
    let mut parser = Parser {
        text,
        tokens: lexer::tokens(text)?,
        at: 0,
        depth: 0,
    };
    if parser.peek().kind == Kind::End {
        return Ok(None);
    }
    let parsed = parser.chain(Context { head: None, tag: 0 })?;
    match parser.peek().kind {
        Kind::End => Ok(Some(parsed.expression)),
        Kind::Close => Err(parser.unexpected("`and`, `or` or the end: no `(` is open")),
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

/// What a value alone stands for, and which VLAN tag is the next.
#[derive(Clone, Copy)]
struct Context {
    head: Option<Head>,
    tag: usize,
}

/// An expression, and the context of what is joined to it by `and`.
struct Parsed {
    expression: Expression,
    context: Context,
}

/// The qualifiers of a primitive.
#[derive(Clone, Copy)]
struct Head {
    protocol: Option<Protocol>,
    direction: Direction,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Ip,
    Ip6,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Nothing said: a host or a network.
    Address,
    Host,
    Net,
    Port,
    PortRange,
}

struct Parser<'a> {
    text: &'a str,
    /// The last is [`Kind::End`], and never taken.
    tokens: Vec<Token<'a>>,
    at: usize,
    /// Parentheses and negations around this place.
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Terms that are joined.
    fn chain(&mut self, context: Context) -> Result<Parsed, FilterError> {
        let first = self.term(context)?;
        let Context { mut head, mut tag } = first.context;
        let mut rest = Vec::new();
        while let Some(joint) = self.joint() {
            // Alternatives look at the tag that the chain began with.
            let from = if joint == Joint::And {
                tag
            } else {
                context.tag
            };
            let term = self.term(Context { head, tag: from })?;
            rest.push((joint, term.expression));
            head = term.context.head;
            tag = tag.max(term.context.tag);
        }
        let expression = if rest.is_empty() {
            first.expression
        } else {
            Expression::Chain(Box::new(first.expression), rest)
        };
        Ok(Parsed {
            expression,
            context: Context { head, tag },
        })
    }

    fn joint(&mut self) -> Option<Joint> {
        let joint = match self.peek().kind {
            Kind::And => Joint::And,
            Kind::Or => Joint::Or,
            _ => return None,
        };
        self.at += 1;
        Some(joint)
    }

    /// One of them. A value alone has the qualifiers of the context.
    fn term(&mut self, context: Context) -> Result<Parsed, FilterError> {
        match self.peek().kind {
            Kind::Not => self.negation(context, Self::term),
            Kind::Open => self.group(context),
            Kind::Word => self.primitive(context),
            _ => Err(self.unexpected("a primitive such as `port 80` or `host 10.0.0.1`")),
        }
    }

    fn negation(
        &mut self,
        context: Context,
        inner: impl FnOnce(&mut Self, Context) -> Result<Parsed, FilterError>,
    ) -> Result<Parsed, FilterError> {
        self.enter()?;
        let Parsed {
            expression,
            context: Context { head, .. },
        } = inner(self, context)?;
        self.depth -= 1;
        // What is not there has nothing inside.
        let context = Context {
            head,
            tag: context.tag,
        };
        Ok(Parsed {
            expression: Expression::Not(Box::new(expression)),
            context,
        })
    }

    fn group(&mut self, context: Context) -> Result<Parsed, FilterError> {
        self.enter()?;
        let Parsed {
            expression,
            context: Context { tag, .. },
        } = self.chain(context)?;
        if self.peek().kind != Kind::Close {
            return Err(self.unexpected("`and`, `or` or `)`"));
        }
        self.at += 1;
        self.depth -= 1;
        // What is said within parentheses is said for what stands in them.
        Ok(Parsed {
            expression,
            context: Context {
                head: context.head,
                tag,
            },
        })
    }

    /// Takes a `not` or a `(`.
    fn enter(&mut self) -> Result<(), FilterError> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(self.peek(), Problem::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn primitive(&mut self, context: Context) -> Result<Parsed, FilterError> {
        let plain = |test, tag| Parsed {
            expression: Expression::Test(test),
            context: Context { head: None, tag },
        };
        if self.take_word("vlan") {
            return Ok(plain(
                Test::Vlan {
                    place: context.tag,
                    id: self.vlan_id()?,
                },
                context.tag + 1,
            ));
        }
        let protocol = self.protocol();
        let direction = self.direction();
        let what = self.what();
        if let (None, None, Some(protocol)) = (direction, what, protocol) {
            return Ok(plain(protocol.test(), context.tag));
        }
        if (direction, what, protocol) == (None, None, None) {
            if context.head.is_none() {
                return Err(self.unexpected(
                    "`host`, `net`, `port`, `portrange`, `src`, `dst`, `tcp`, `ip`, `ip6`, `vlan`, `not` or `(`",
                ));
            }
            return self.value(context);
        }
        let what = what.unwrap_or(What::Address);
        let head = Head {
            protocol,
            direction: direction.unwrap_or(Direction::Either),
            what,
        };
        self.check_protocol(&head)?;
        self.values(Context {
            head: Some(head),
            tag: context.tag,
        })
    }

    /// `tcp` has ports, IP has addresses.
    fn check_protocol(&self, head: &Head) -> Result<(), FilterError> {
        let ports = matches!(head.what, What::Port | What::PortRange);
        // The word that was said last, or that is missing.
        let at = if head.what == What::Address {
            self.peek()
        } else {
            self.tokens[self.at - 1]
        };
        match head.protocol {
            Some(Protocol::Tcp) if !ports => {
                Err(self.unexpected_at(at, "`port` or `portrange` after `tcp`"))
            }
            Some(Protocol::Ip | Protocol::Ip6) if ports => Err(self.unexpected_at(
                at,
                "`host` or `net` after `ip` or `ip6`; ports are those of `tcp`",
            )),
            _ => Ok(()),
        }
    }

    /// What follows qualifiers: a value, or several in parentheses.
    fn values(&mut self, context: Context) -> Result<Parsed, FilterError> {
        match self.peek().kind {
            Kind::Not => self.negation(context, Self::values),
            Kind::Open => self.group(context),
            _ => self.value(context),
        }
    }

    fn value(&mut self, context: Context) -> Result<Parsed, FilterError> {
        let token = self.peek();
        let Some(head) = context.head.filter(|_| token.kind == Kind::Word) else {
            return Err(
                self.unexpected(context.head.map_or("a primitive", |head| head.what.value()))
            );
        };
        let test = head
            .test(token.text)
            .map_err(|problem| self.wrong(token, problem))?;
        self.at += 1;
        Ok(Parsed {
            expression: Expression::Test(test),
            context,
        })
    }

    fn vlan_id(&mut self) -> Result<Option<u16>, FilterError> {
        let token = self.peek();
        if token.kind != Kind::Word {
            return Ok(None);
        }
        let id = values::vlan(token.text).map_err(|problem| self.wrong(token, problem))?;
        self.at += 1;
        Ok(Some(id))
    }

    fn protocol(&mut self) -> Option<Protocol> {
        let words = [
            ("tcp", Protocol::Tcp),
            ("ip", Protocol::Ip),
            ("ip6", Protocol::Ip6),
        ];
        self.one_of(&words)
    }

    fn what(&mut self) -> Option<What> {
        let words = [
            ("host", What::Host),
            ("net", What::Net),
            ("port", What::Port),
            ("portrange", What::PortRange),
        ];
        self.one_of(&words)
    }

    /// `src`, `dst`, or both of them with `or` or `and` between.
    fn direction(&mut self) -> Option<Direction> {
        let words = [("src", Direction::Source), ("dst", Direction::Destination)];
        let first = self.one_of(&words)?;
        let start = self.at;
        if let (Some(joint), Some(second)) = (self.joint(), self.one_of(&words))
            && second != first
        {
            return Some(if joint == Joint::Or {
                Direction::Either
            } else {
                Direction::Both
            });
        }
        self.at = start;
        Some(first)
    }

    fn one_of<T: Copy>(&mut self, words: &[(&str, T)]) -> Option<T> {
        words
            .iter()
            .find(|(word, _)| self.take_word(word))
            .map(|(_, meaning)| *meaning)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let token = self.peek();
        let taken = token.kind == Kind::Word && token.text == word;
        self.at += usize::from(taken);
        taken
    }

    fn peek(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    fn unexpected(&self, expected: &'static str) -> FilterError {
        self.unexpected_at(self.peek(), expected)
    }

    fn unexpected_at(&self, token: Token<'_>, expected: &'static str) -> FilterError {
        let found = match token.kind {
            Kind::End => "the end".to_owned(),
            _ => format!("`{}`", shorten(token.text)),
        };
        self.wrong(token, Problem::Unexpected { expected, found })
    }

    fn wrong(&self, token: Token<'_>, problem: Problem) -> FilterError {
        FilterError::new(self.text, token.offset, token.text.len(), problem)
    }
}

impl Head {
    /// What is asked of a value.
    fn test(&self, text: &str) -> Result<Test, Problem> {
        // Cut, it is as wrong as it was.
        let text = &*shorten(text);
        let network = match self.what {
            What::Port => {
                let port = values::port(text)?;
                return Ok(Test::Ports(self.direction, port, port));
            }
            What::PortRange => {
                let (low, high) = values::port_range(text)?;
                return Ok(Test::Ports(self.direction, low, high));
            }
            What::Net => values::network(text)?,
            What::Address if text.contains('/') => values::network(text)?,
            What::Address | What::Host => values::host(text)?,
        };
        self.check_version(network, text)?;
        Ok(Test::Network(self.direction, network.into()))
    }

    fn check_version(&self, network: IpNet, text: &str) -> Result<(), Problem> {
        match (self.protocol, network) {
            (Some(Protocol::Ip), IpNet::V6(_)) => Err(Problem::Version(text.to_owned(), "ip")),
            (Some(Protocol::Ip6), IpNet::V4(_)) => Err(Problem::Version(text.to_owned(), "ip6")),
            _ => Ok(()),
        }
    }
}

impl Protocol {
    fn test(self) -> Test {
        match self {
            Self::Tcp => Test::Always,
            Self::Ip => Test::Version { v6: false },
            Self::Ip6 => Test::Version { v6: true },
        }
    }
}

impl What {
    /// What has to follow, for a message.
    fn value(self) -> &'static str {
        match self {
            Self::Address => "`host`, `net`, `port`, `portrange` or an address",
            Self::Host => "an address such as `10.0.0.1` or `2001:db8::1`",
            Self::Net => "a network such as `10.0.0.0/8` or `2001:db8::/32`",
            Self::Port => "a port such as `80` or `http`",
            Self::PortRange => "a range of ports such as `8000-8080`",
        }
    }
}

/// A word at a length fit for a message; the longest value is shorter.
fn shorten(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 60;
    match text.get(LONGEST..) {
        None | Some("") => Cow::Borrowed(text),
        Some(_) => Cow::Owned(format!("{}…", &text[..LONGEST])),
    }
}
