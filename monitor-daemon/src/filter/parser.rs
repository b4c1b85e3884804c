//! Parser: tokens to an expression.

use super::ast::{Direction, Expression, Joint, Test};
use super::error::{FilterError, Problem};
use super::lexer::{self, Token, TokenKind};
use super::limits::{MAX_DEPTH, MAX_LEN};
use super::qualifiers::{Protocol, Qualifiers, ValueKind, shorten};
use super::values;

/// Parses a filter; `None` if it is empty.
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
    if parser.peek().kind == TokenKind::End {
        return Ok(None);
    }
    let parsed = parser.chain(Context {
        qualifiers: None,
        tag: 0,
    })?;
    match parser.peek().kind {
        TokenKind::End => Ok(Some(parsed.expression)),
        TokenKind::Close => Err(parser.unexpected("`and`, `or` or the end: no `(` is open")),
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

/// Qualifiers of a value without its own, and the VLAN tag that the next `vlan` tests.
#[derive(Clone, Copy)]
struct Context {
    qualifiers: Option<Qualifiers>,
    tag: usize,
}

/// An expression, and the context of a term that is joined to it by `and`.
struct Parsed {
    expression: Expression,
    context: Context,
}

struct Parser<'a> {
    text: &'a str,
    /// The last one is [`TokenKind::End`], which is never consumed.
    tokens: Vec<Token<'a>>,
    at: usize,
    /// Number of parentheses and negations around this position.
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Parses terms that are joined.
    fn chain(&mut self, context: Context) -> Result<Parsed, FilterError> {
        let first = self.term(context)?;
        let Context {
            mut qualifiers,
            mut tag,
        } = first.context;
        let mut rest = Vec::new();
        while let Some(joint) = self.joint() {
            // Alternatives test the tag that the chain began with.
            let from = if joint == Joint::And {
                tag
            } else {
                context.tag
            };
            let term = self.term(Context {
                qualifiers,
                tag: from,
            })?;
            rest.push((joint, term.expression));
            qualifiers = term.context.qualifiers;
            tag = tag.max(term.context.tag);
        }
        let expression = if rest.is_empty() {
            first.expression
        } else {
            Expression::Chain(Box::new(first.expression), rest)
        };
        Ok(Parsed {
            expression,
            context: Context { qualifiers, tag },
        })
    }

    fn joint(&mut self) -> Option<Joint> {
        let joint = match self.peek().kind {
            TokenKind::And => Joint::And,
            TokenKind::Or => Joint::Or,
            _ => return None,
        };
        self.at += 1;
        Some(joint)
    }

    /// Parses a term. A value without qualifiers has those of the context.
    fn term(&mut self, context: Context) -> Result<Parsed, FilterError> {
        match self.peek().kind {
            TokenKind::Not => self.negation(context, Self::term),
            TokenKind::Open => self.group(context),
            TokenKind::Word => self.primitive(context),
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
            context: Context { qualifiers, .. },
        } = inner(self, context)?;
        self.depth -= 1;
        // A tag that is absent has no tag inside it.
        let context = Context {
            qualifiers,
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
        if self.peek().kind != TokenKind::Close {
            return Err(self.unexpected("`and`, `or` or `)`"));
        }
        self.at += 1;
        self.depth -= 1;
        // Qualifiers within parentheses end with them.
        Ok(Parsed {
            expression,
            context: Context {
                qualifiers: context.qualifiers,
                tag,
            },
        })
    }

    /// Consumes a `not` or a `(`.
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
            context: Context {
                qualifiers: None,
                tag,
            },
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
        let kind = self.value_kind();
        if let (None, None, Some(protocol)) = (direction, kind, protocol) {
            return Ok(plain(protocol.test(), context.tag));
        }
        if (direction, kind, protocol) == (None, None, None) {
            if context.qualifiers.is_none() {
                return Err(self.unexpected(
                    "`host`, `net`, `port`, `portrange`, `src`, `dst`, `tcp`, `ip`, `ip6`, `vlan`, `not` or `(`",
                ));
            }
            return self.value(context);
        }
        let kind = kind.unwrap_or(ValueKind::Address);
        let qualifiers = Qualifiers {
            protocol,
            direction: direction.unwrap_or(Direction::Either),
            kind,
        };
        self.check_protocol(&qualifiers)?;
        self.values(Context {
            qualifiers: Some(qualifiers),
            tag: context.tag,
        })
    }

    /// Refuses combinations other than `tcp` with ports and IP with addresses.
    fn check_protocol(&self, qualifiers: &Qualifiers) -> Result<(), FilterError> {
        let ports = matches!(qualifiers.kind, ValueKind::Port | ValueKind::PortRange);
        // The last word, or the missing one.
        let at = if qualifiers.kind == ValueKind::Address {
            self.peek()
        } else {
            self.tokens[self.at - 1]
        };
        match qualifiers.protocol {
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

    /// Parses the part after qualifiers: a value, or several in parentheses.
    fn values(&mut self, context: Context) -> Result<Parsed, FilterError> {
        match self.peek().kind {
            TokenKind::Not => self.negation(context, Self::values),
            TokenKind::Open => self.group(context),
            _ => self.value(context),
        }
    }

    fn value(&mut self, context: Context) -> Result<Parsed, FilterError> {
        let token = self.peek();
        let Some(qualifiers) = context.qualifiers.filter(|_| token.kind == TokenKind::Word) else {
            return Err(self.unexpected(
                context
                    .qualifiers
                    .map_or("a primitive", |qualifiers| qualifiers.kind.expected()),
            ));
        };
        let test = qualifiers
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
        if token.kind != TokenKind::Word {
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

    fn value_kind(&mut self) -> Option<ValueKind> {
        let words = [
            ("host", ValueKind::Host),
            ("net", ValueKind::Net),
            ("port", ValueKind::Port),
            ("portrange", ValueKind::PortRange),
        ];
        self.one_of(&words)
    }

    /// Parses `src`, `dst`, or both of them with `or` or `and` between.
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
        let taken = token.kind == TokenKind::Word && token.text == word;
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
            TokenKind::End => "the end".to_owned(),
            _ => format!("`{}`", shorten(token.text)),
        };
        self.wrong(token, Problem::Unexpected { expected, found })
    }

    fn wrong(&self, token: Token<'_>, problem: Problem) -> FilterError {
        FilterError::new(self.text, token.offset, token.text.len(), problem)
    }
}
