//! Lexer of filters.

use super::error::{FilterError, Problem};

/// TokenKind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Open,
    Close,
    Not,
    And,
    Or,
    /// A keyword or a value.
    Word,
    /// Behind the last one.
    End,
}

/// Token with its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    /// Offset in bytes.
    pub(super) offset: usize,
}

/// Splits a filter into tokens. The last one is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let offset = text.len() - rest.len();
        let (kind, len) = first(rest).map_err(|character| {
            FilterError::new(
                text,
                offset,
                character.len_utf8(),
                Problem::Character(character),
            )
        })?;
        tokens.push(Token {
            kind,
            text: &rest[..len],
            offset,
        });
        rest = rest[len..].trim_ascii_start();
    }
    tokens.push(Token {
        kind: TokenKind::End,
        text: "",
        offset: text.len(),
    });
    Ok(tokens)
}

/// Returns kind and length of the token at the start of a text, or the character that starts none.
fn first(text: &str) -> Result<(TokenKind, usize), char> {
    let symbols = [
        ("(", TokenKind::Open),
        (")", TokenKind::Close),
        ("!", TokenKind::Not),
        ("&&", TokenKind::And),
        ("||", TokenKind::Or),
    ];
    if let Some((symbol, kind)) = symbols
        .into_iter()
        .find(|(symbol, _)| text.starts_with(symbol))
    {
        return Ok((kind, symbol.len()));
    }
    let len = text
        .find(|character| !in_word(character))
        .unwrap_or(text.len());
    let kind = match &text[..len] {
        "" => return Err(text.chars().next().unwrap_or_default()),
        "and" => TokenKind::And,
        "or" => TokenKind::Or,
        "not" => TokenKind::Not,
        _ => TokenKind::Word,
    };
    Ok((kind, len))
}

/// Returns whether keywords, names, numbers and addresses may contain the character.
fn in_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | ':' | '/' | '-' | '_')
}
