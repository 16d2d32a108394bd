//! The link that opens a customer's page: the template of a queue, parsed once and filled per pop.
//!
//! Owns the placeholders, what is wrong with a template, and that whatever is filled in stays what it is: a value. Sends nothing.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::domain::queue::roster::{CallerId, Customer};

/// What stays as it is: the unreserved characters of RFC 3986 section 2.3. All else would mean something in a URL.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The longest template, in characters.
pub const LONGEST: usize = 1000;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Blank(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Id,
    Code,
    Name,
    Number,
    Token,
}

impl Placeholder {
    const ALL: [Self; 5] = [Self::Id, Self::Code, Self::Name, Self::Number, Self::Token];

    fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Code => "code",
            Self::Name => "name",
            Self::Number => "number",
            Self::Token => "token",
        }
    }
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A name in braces that means nothing.
    #[error("{{{0}}} is not a placeholder: use {{code}}, {{id}}, {{name}}, {{number}}, or {{token}} alone")]
    Unknown(String),
    /// A brace that belongs to no placeholder.
    #[error("there is a brace that belongs to no placeholder: write %7B for '{{' and %7D for '}}'")]
    Brace,
    /// Not the address of a page.
    #[error("it is not an address of a page ({0}): expected the form https://crm.example/customers/{{code}}")]
    NoUrl(String),
    /// Another scheme than http and https.
    #[error("{0}: is not opened: expected an address that begins with https:// or http://")]
    Scheme(String),
    /// A name or a password in it, which every reader would get.
    #[error("there is a user or a password before the host, which every reader of a pop would see: take it out")]
    User,
    /// A placeholder before the path.
    #[error("there is a placeholder before the path: a caller's name must not decide which server is asked")]
    Host,
    /// A blank, a control character, or one that XML does not carry.
    #[error("there is a blank or a control character in it: write %20 for a blank")]
    Blank,
    /// A token beside what it is there to hide.
    #[error("{{token}} stands in the place of {{code}}, {{id}}, {{name}} and {{number}}: take one or the other")]
    Mixed,
    /// Too long.
    #[error("it is too long: expected up to {LONGEST} characters")]
    Long,
}

/// What an address tells whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// The same for everybody.
    Nothing,
    /// Something of the person.
    Person,
    /// A token, which says something only to who may ask.
    Token,
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// Whose page.
    pub customer: &'a Customer,
    /// Who calls.
    pub caller: &'a CallerId,
    /// The token, for a template that [`Tells::Token`].
    pub token: &'a str,
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    /// Parses an address with `{code}`, `{id}`, `{name}` and `{number}`, or with `{token}`, in its path, query or fragment.
    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        if text.chars().count() > LONGEST {
            return Err(InvalidTemplate::Long);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
            return Err(InvalidTemplate::Blank);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(at);
            let inside = tail.strip_prefix('{').ok_or(InvalidTemplate::Brace)?;
            let (name, after) = inside.split_once('}').ok_or(InvalidTemplate::Brace)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let known = Placeholder::ALL.into_iter().find(|placeholder| placeholder.as_str() == name);
            parts.push(Part::Blank(known.ok_or_else(|| InvalidTemplate::Unknown(name.into()))?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        let template = Self(parts);
        template.check()?;
        let has_token = template.0.contains(&Part::Blank(Placeholder::Token));
        if has_token && template.tells() == Tells::Person {
            return Err(InvalidTemplate::Mixed);
        }
        Ok(template)
    }
}

impl Template {
    /// The address for one pop. Each value is percent-encoded.
    pub fn fill(&self, filling: &Filling<'_>) -> String {
        self.fill_with(|placeholder| match placeholder {
            Placeholder::Id => filling.customer.id.to_string(),
            Placeholder::Code => filling.customer.code.to_string(),
            Placeholder::Name => filling.customer.name.clone(),
            Placeholder::Number => filling.caller.number.clone(),
            Placeholder::Token => filling.token.into(),
        })
    }

    /// What the addresses that it makes tell.
    pub fn tells(&self) -> Tells {
        let blanks = self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Blank(placeholder) => Some(*placeholder),
        });
        blanks.fold(Tells::Nothing, |told, placeholder| match placeholder {
            Placeholder::Id | Placeholder::Code | Placeholder::Name | Placeholder::Number => Tells::Person,
            Placeholder::Token if told == Tells::Person => Tells::Person,
            Placeholder::Token => Tells::Token,
        })
    }

    fn fill_with(&self, value: impl Fn(Placeholder) -> String) -> String {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Blank(placeholder) => encoded(&value(*placeholder)),
        });
        filled.collect()
    }

    /// Whether it is an address of a page whatever is filled in.
    fn check(&self) -> Result<(), InvalidTemplate> {
        let start = match self.0.first() {
            Some(Part::Text(text)) => text.as_str(),
            Some(Part::Blank(_)) => return Err(InvalidTemplate::Host),
            None => "",
        };
        let whole = self.fill_with(|_| "x".into());
        let url = Url::parse(&whole).map_err(|error| InvalidTemplate::NoUrl(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidTemplate::Scheme(url.scheme().into()));
        }
        // Parsers of URLs mend what is wrong with slashes, each in its way; what is published has to mean one thing.
        let Some((_, after)) = start.split_once("://") else {
            return Err(InvalidTemplate::NoUrl("no '://'".into()));
        };
        let host = after.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if host.is_empty() {
            return Err(if self.0.len() > 1 && after.is_empty() {
                InvalidTemplate::Host
            } else {
                InvalidTemplate::NoUrl("it names no host".into())
            });
        }
        if self.0.len() > 1 && host.len() == after.len() {
            return Err(InvalidTemplate::Host);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidTemplate::User);
        }
        Ok(())
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Blank(placeholder) => write!(f, "{{{}}}", placeholder.as_str()),
        })
    }
}

/// A value that cannot end its place in the address. "." and ".." mean another folder however they are encoded, so they are left out.
fn encoded(value: &str) -> String {
    match value {
        "." | ".." => String::new(),
        value => utf8_percent_encode(value, VALUE).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::CustomerCode;
    use proptest::prelude::*;

    fn customer(name: &str) -> Customer {
        Customer { id: 17, code: CustomerCode::new("0071"), name: name.into() }
    }

    fn filled(template: &str, name: &str, number: &str) -> String {
        let template: Template = template.parse().unwrap();
        let caller = CallerId { number: number.into(), name: String::new() };
        template.fill(&Filling { customer: &customer(name), caller: &caller, token: "a-b_c.d" })
    }

    #[test]
    fn each_placeholder_is_filled_and_encoded() {
        assert_eq!(filled("https://crm.example/customers/{code}", "", ""), "https://crm.example/customers/0071");
        assert_eq!(
            filled("https://crm.example:8443/c?id={id}&name={name}#n={number}", "A, B & <C> \"é\" 'd'/?#%", "+55 11"),
            "https://crm.example:8443/c?id=17&name=A%2C%20B%20%26%20%3CC%3E%20%22%C3%A9%22%20%27d%27%2F%3F%23%25#n=%2B55%2011"
        );
        assert_eq!(filled("http://crm.example/start", "x", "y"), "http://crm.example/start");
    }

    #[test]
    fn a_token_stands_alone_and_as_it_is() {
        assert_eq!(filled("https://crm.example/pop?t={token}", "x", "y"), "https://crm.example/pop?t=a-b_c.d");
        for (template, tells) in [
            ("https://a/", Tells::Nothing),
            ("https://a/{id}", Tells::Person),
            ("https://a/{token}/{token}", Tells::Token),
        ] {
            assert_eq!(template.parse::<Template>().unwrap().tells(), tells, "{template}");
        }
    }

    #[test]
    fn a_name_of_dots_leads_to_no_other_folder() {
        assert_eq!(filled("https://crm.example/c/{name}/open", "..", ""), "https://crm.example/c//open");
        assert_eq!(filled("https://crm.example/c/{name}", "...", ""), "https://crm.example/c/...");
    }

    #[test]
    fn what_is_no_address_of_a_page_is_refused_with_what_is_expected() {
        for (text, expected) in [
            ("https://crm.example/{customer}", "use {code}"),
            ("https://crm.example/{code", "no placeholder"),
            ("https://crm.example/code}", "no placeholder"),
            ("javascript:alert({code})", "javascript: is not opened"),
            ("javascript://crm.example/%0aalert({code})", "javascript: is not opened"),
            ("file:///etc/{code}", "file: is not opened"),
            ("ftp://crm.example/{code}", "ftp: is not opened"),
            ("crm.example/{code}", "https://crm.example/customers"),
            ("/customers/{code}", "https://crm.example/customers"),
            ("", "https://crm.example/customers"),
            ("https:crm.example/{code}", "'://'"),
            ("https:///crm.example/{code}", "no host"),
            ("https://", "https://crm.example/customers"),
            ("https://{name}/x", "before the path"),
            ("https://{name}.crm.example/x", "before the path"),
            ("https://crm.example{code}/x", "before the path"),
            ("https://crm.example:{code}/x", "https://crm.example/customers"),
            ("{name}://crm.example/x", "before the path"),
            ("https://me:secret@crm.example/{code}", "user or a password"),
            ("https://crm.example/a b", "%20"),
            ("https://crm.example/\u{0}", "%20"),
            ("https://crm.example/{code}?t={token}", "one or the other"),
            ("https://crm.example/{token}?n={number}", "one or the other"),
        ] {
            let error = text.parse::<Template>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(format!("https://a/{}", "x".repeat(1000)).parse::<Template>(), Err(InvalidTemplate::Long));
    }

    proptest! {
        #[test]
        fn whatever_a_caller_is_called_the_address_keeps_its_host_and_its_parts(name in ".*", number in ".*") {
            let url: Url = filled("https://crm.example/c/{name}?n={number}&end=1#f", &name, &number).parse().unwrap();
            prop_assert_eq!(url.host_str(), Some("crm.example"));
            prop_assert_eq!(url.path_segments().unwrap().count(), 2);
            prop_assert_eq!(url.path_segments().unwrap().next(), Some("c"));
            let query: Vec<_> = url.query_pairs().into_owned().collect();
            let told = if matches!(number.as_str(), "." | "..") { String::new() } else { number };
            prop_assert_eq!(query, vec![("n".to_owned(), told), ("end".to_owned(), "1".to_owned())]);
            prop_assert_eq!(url.fragment(), Some("f"));
        }

        #[test]
        fn a_template_that_was_taken_is_written_as_it_was(text in "(https?://)?[a-z.{}/?=]{0,30}") {
            if let Ok(template) = text.parse::<Template>() {
                prop_assert_eq!(template.to_string(), text);
            }
        }
    }
}
