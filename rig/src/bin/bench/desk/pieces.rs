//! What a server writes, cut after each `>`: no parser, because it must cost next to nothing.
//!
//! Prosody writes `&gt;` wherever a `>` is not the end of a tag.

/// Bytes that came, of which the whole pieces have not all been taken yet.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    from: usize,
}

impl Pieces {
    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.from));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole piece: text, if there is any, and the tag after it.
    pub fn take(&mut self) -> Option<Piece> {
        let rest = self.bytes.get(self.from..)?;
        let length = rest.iter().position(|byte| *byte == b'>')? + 1;
        let piece = String::from_utf8_lossy(rest.get(..length)?).into_owned();
        self.from += length;
        Some(Piece(piece))
    }
}

/// Text, and the tag that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece(String);

impl Piece {
    fn split(&self) -> (&str, &str) {
        self.0.split_once('<').unwrap_or_default()
    }

    /// The text before the tag.
    pub fn text(&self) -> &str {
        self.split().0
    }

    /// The tag's name, of an end tag with its slash before it.
    pub fn name(&self) -> &str {
        let tag = self.split().1;
        let end = |c: char| c.is_ascii_whitespace() || c == '>';
        let name = tag.split(end).next().unwrap_or_default();
        name.strip_suffix('/').unwrap_or(name)
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let tag = self.split().1;
        tag.match_indices(name).find_map(|(at, _)| {
            let before = tag.get(..at)?;
            let quoted = tag.get(at + name.len()..)?.strip_prefix('=')?;
            let quote = quoted.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
            let value = quoted.get(1..)?.split(quote).next();
            value.filter(|_| before.ends_with(|c: char| c.is_ascii_whitespace()))
        })
    }

    /// Whether it begins one of the three that XEP-0198 counts.
    pub fn begins_stanza(&self) -> bool {
        matches!(self.name(), "message" | "iq" | "presence")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&str]) -> Vec<Piece> {
        let mut pieces = Pieces::default();
        let mut all = Vec::new();
        for part in parts {
            pieces.push(part.as_bytes());
            all.extend(std::iter::from_fn(|| pieces.take()));
        }
        all
    }

    #[test]
    fn what_came_in_parts_is_read_as_if_it_came_at_once() {
        let whole = "<message to='a@b'><body>x &gt; y #7#</body></message><a xmlns='urn:xmpp:sm:3' h='12'/>";
        let at_once = cut(&[whole]);
        assert_eq!(at_once.len(), 5);
        for at in 1..whole.len() {
            assert_eq!(cut(&[&whole[..at], &whole[at..]]), at_once);
        }
        assert_eq!(at_once[2].text(), "x &gt; y #7#");
        assert_eq!(at_once.iter().map(Piece::name).collect::<Vec<_>>(), ["message", "body", "/body", "/message", "a"]);
        assert_eq!(at_once[4].attribute("h"), Some("12"));
        assert_eq!(at_once.iter().filter(|piece| piece.begins_stanza()).count(), 1);
    }

    #[test]
    fn an_attribute_is_not_taken_for_another_that_ends_like_it() {
        let all = cut(&["<iq grid='1' id=\"b2\" type='result'/>", "<r/>"]);
        assert_eq!(all[0].attribute("id"), Some("b2"));
        assert_eq!(all[0].attribute("type"), Some("result"));
        assert_eq!(all[0].attribute("to"), None);
        assert_eq!(all[1].name(), "r");
    }
}
