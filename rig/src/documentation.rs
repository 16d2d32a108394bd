//! Asterisk's documentation of itself, cut down to what it needs at its start.
//!
//! Asterisk reads the whole file and searches it once for each application, function and manager event that a module brings:
//! most of what a start costs. It needs the descriptions of its settings, without which a module does not load; of the
//! rest it only misses that there is one.

use std::{fs, path::Path};

use anyhow::{Context, Result};

const FILE: &str = "core-en_US.xml";
/// Kept whole: a module refuses a setting that is not described.
const SETTINGS: &str = "configInfo";
/// Kept by name.
const NAMES: [&str; 6] = ["application", "function", "agi", "manager", "managerEvent", "info"];

/// Writes the short one of the documentation in the folder `from`, if there is any, into the new folder `to`.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn shorten(from: &Path, to: &Path) -> Result<()> {
    let path = from.join(FILE);
    if !path.exists() {
        return Ok(());
    }
    let whole = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::create_dir(to)?;
    Ok(fs::write(to.join(FILE), short(&whole))?)
}

fn short(whole: &str) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<docs xmlns:xi=\"http://www.w3.org/2001/XInclude\">\n",
    );
    let mut rest = whole;
    while let Some((_, from)) = rest.split_once('<') {
        rest = from;
        let kind = from.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
        let end = format!("</{kind}>");
        let Some((element, after)) = is_entry(from, kind).then(|| from.split_once(&end)).flatten() else { continue };
        match element.split_once('>') {
            Some((tag, _)) if kind != SETTINGS => text += &format!("<{tag}><synopsis/>{end}\n"),
            _ => text += &format!("<{element}{end}\n"),
        }
        rest = after;
    }
    text + "</docs>\n"
}

/// Whether an element of this kind begins here that describes something.
fn is_entry(from: &str, kind: &str) -> bool {
    (kind == SETTINGS || NAMES.contains(&kind)) && from.get(kind.len()..).is_some_and(|rest| rest.starts_with(" name="))
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn settings_are_kept_and_of_the_others_that_they_are_there() {
        let whole = "<docs>\n\t<module name=\"a\"/>\n\t<application name=\"Dial\" module=\"a\">\n\t\t<synopsis>Calls</synopsis>\n\t\t\
                     <see-also><ref type=\"application\">Dial</ref></see-also>\n\t</application>\n    \
                     <configInfo name=\"a\">\n\t\t<configFile name=\"a.conf\"/>\n\t</configInfo>\n\
                     <managerEvent name=\"E\"><managerEventInstance/></managerEvent></docs>";
        let entries: Vec<_> = short(whole).lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            entries,
            [
                "<application name=\"Dial\" module=\"a\"><synopsis/></application>",
                "<configInfo name=\"a\">",
                "\t\t<configFile name=\"a.conf\"/>",
                "\t</configInfo>",
                "<managerEvent name=\"E\"><synopsis/></managerEvent>",
                "</docs>"
            ]
        );
    }
}
