//! Tokens of Rust sources, for rules that read code: comments, strings and test items are left out.

/// A token: an identifier, `::`, or one other character.
pub type Token = String;

/// Splits source text into tokens. Comments, literals and items under `#[cfg(test)]` are dropped.
pub fn tokens(text: &str) -> Vec<Token> {
    without_tests(&scan(text))
}

fn scan(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied();
        match chars[at] {
            '/' if next == Some('/') => at = end_of_line(&chars, at),
            '/' if next == Some('*') => at = end_of_block(&chars, at),
            '"' => at = end_of_string(&chars, at),
            'r' if is_raw_string(&chars, at) => at = end_of_raw_string(&chars, at),
            '\'' => at = end_of_quote(&chars, at),
            ':' if next == Some(':') => {
                found.push("::".to_owned());
                at += 2;
            }
            c if is_word(c) => {
                let start = at;
                while at < chars.len() && is_word(chars[at]) {
                    at += 1;
                }
                found.push(chars[start..at].iter().collect());
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
}

fn end_of_block(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let end = rest.windows(2).skip(2).position(|pair| pair == ['*', '/']);
    at + end.map_or(rest.len(), |end| end + 4)
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn is_raw_string(chars: &[char], at: usize) -> bool {
    let hashes = hashes(chars, at + 1);
    chars.get(at + 1 + hashes) == Some(&'"')
}

fn end_of_raw_string(chars: &[char], at: usize) -> usize {
    let hashes_before = hashes(chars, at + 1);
    let mut at = at + 2 + hashes_before;
    while at < chars.len() && !(chars[at] == '"' && hashes(chars, at + 1) >= hashes_before) {
        at += 1;
    }
    at + 1 + hashes_before
}

fn hashes(chars: &[char], at: usize) -> usize {
    chars.iter().skip(at).take_while(|c| **c == '#').count()
}

/// Skips a character literal, or only the quote of a lifetime.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        let rest = chars.iter().skip(at + 3).position(|c| *c == '\'');
        return rest.map_or(chars.len(), |end| at + 4 + end);
    }
    if chars.get(at + 2) == Some(&'\'') {
        at + 3
    } else {
        at + 1
    }
}

/// Drops each item with an attribute `#[cfg(test)]` or one that begins with `#[cfg(all(test`.
fn without_tests(all: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if starts_with(&all[at..], &["#", "[", "cfg", "(", "test", ")", "]"])
            || starts_with(&all[at..], &["#", "[", "cfg", "(", "all", "(", "test"])
        {
            at = end_of_item(all, at);
        } else {
            kept.push(all[at].clone());
            at += 1;
        }
    }
    kept
}

fn starts_with(tokens: &[Token], start: &[&str]) -> bool {
    tokens.len() >= start.len() && tokens.iter().zip(start).all(|(token, word)| token == word)
}

/// Returns the index behind an item: after its `;`, or after the brace that closes it.
fn end_of_item(all: &[Token], from: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in all.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token == "}" {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    all.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_not_code() {
        let text = "a /* b */ // c\n\"d\\\"\" r#\"e\"# 'f' '\\'' &'g h::i";
        assert_eq!(tokens(text), ["a", "&", "g", "h", "::", "i"]);
    }

    #[test]
    fn test_items_are_dropped() {
        let text = "use a; #[cfg(test)] mod tests; #[cfg(test)] #[x] mod t { use b; } use c;";
        assert_eq!(tokens(text), ["use", "a", ";", "use", "c", ";"]);
    }
}
