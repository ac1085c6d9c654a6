//! Values as the Lua debugger shows them, read back so that tables can be opened one by one.
//!
//! The text is a list in braces, `{1; "x"; {["k"]=true}}`; whatever does not read as one is shown
//! as it is.

/// Deepest nesting that is read; the debugger shows ten.
const DEPTH_MAX: usize = 32;

/// A value with what is inside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The whole value as text.
    pub(super) text: String,
    /// Names and values of a table.
    pub(super) children: Vec<(String, Shown)>,
}

impl Shown {
    /// Reads a value.
    pub(super) fn read(text: &str) -> Shown {
        let plain = || Shown { text: text.to_owned(), children: Vec::new() };
        match value(text, 0) {
            Some((shown, "")) => shown,
            _ => plain(),
        }
    }
}

/// Takes a value from the beginning of a text.
fn value(text: &str, depth: usize) -> Option<(Shown, &str)> {
    let (children, rest) = match text.as_bytes().first()? {
        b'"' => (Vec::new(), &text[string_length(text)?..]),
        b'{' if depth < DEPTH_MAX => table(text, depth)?,
        b'{' => return None,
        _ => (Vec::new(), &text[text.find([';', '}', ']']).unwrap_or(text.len())..]),
    };
    let own = &text[..text.len() - rest.len()];
    (!own.is_empty()).then(|| (Shown { text: own.to_owned(), children }, rest))
}

/// Length of the quoted string that a text begins with.
fn string_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while *bytes.get(at)? != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at + 1)
}

fn table(text: &str, depth: usize) -> Option<(Vec<(String, Shown)>, &str)> {
    let mut rest = text.strip_prefix('{')?;
    let mut children = Vec::new();
    while !rest.starts_with('}') {
        if !children.is_empty() {
            rest = rest.strip_prefix("; ")?;
        }
        let mut name = format!("[{}]", children.len() + 1);
        if let Some(keyed) = rest.strip_prefix('[') {
            let (key, after) = value(keyed, depth + 1)?;
            name = format!("[{}]", key.text);
            rest = after.strip_prefix("]=")?;
        }
        let (child, after) = value(rest, depth + 1)?;
        children.push((name, child));
        rest = after;
    }
    Some((children, &rest[1..]))
}

/// Values that the client may open, by number. Numbers are good until the program goes on.
#[derive(Debug, Default)]
pub(super) struct Opened {
    values: Vec<Vec<(String, Shown)>>,
    /// Numbers of the local variables of functions, with their levels.
    locals: Vec<(usize, usize)>,
}

impl Opened {
    /// A number for a list of values; 0 for one that is empty.
    pub(super) fn add(&mut self, children: &[(String, Shown)]) -> usize {
        if children.is_empty() {
            return 0;
        }
        self.values.push(children.to_vec());
        self.values.len()
    }

    /// The same for the local variables of a function, by its level on the stack.
    pub(super) fn add_locals(&mut self, level: usize, locals: &[(String, Shown)]) -> usize {
        let number = self.add(locals);
        self.locals.push((number, level));
        number
    }

    /// The level of the function whose local variables are behind a number.
    pub(super) fn level(&self, number: u64) -> Option<usize> {
        let is_it = |(own, _): &&(usize, usize)| *own as u64 == number && number > 0;
        self.locals.iter().find(is_it).map(|(_, level)| *level)
    }

    /// Remembers that a variable has another value.
    pub(super) fn set(&mut self, number: u64, name: &str, shown: &Shown) {
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let values = at.and_then(|at| self.values.get_mut(at));
        // Of several with one name the last is the one that is seen.
        if let Some((_, old)) = values.and_then(|all| all.iter_mut().rfind(|it| it.0 == name)) {
            *old = shown.clone();
        }
    }

    /// The values behind a number.
    pub(super) fn get(&self, number: u64) -> Option<Vec<(String, Shown)>> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.values.get(at).cloned()
    }

    /// Forgets all numbers.
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.locals.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_texts(shown: &Shown) -> Vec<(&str, &str)> {
        shown.children.iter().map(|(name, child)| (&**name, &*child.text)).collect()
    }

    #[test]
    fn tables_can_be_opened() {
        let shown = Shown::read(r#"{1; "a; }\""; {["k"]=true; [2]={}}; "function@0x1"}"#);
        assert_eq!(
            names_and_texts(&shown),
            [
                ("[1]", "1"),
                ("[2]", r#""a; }\"""#),
                ("[3]", r#"{["k"]=true; [2]={}}"#),
                ("[4]", r#""function@0x1""#),
            ]
        );
        assert_eq!(names_and_texts(&shown.children[2].1), [(r#"["k"]"#, "true"), ("[2]", "{}")]);
    }

    #[test]
    fn what_is_no_value_is_text() {
        for text in ["{1; 2 ...", "{[1=2}", "\"open", "1; 2", "", "{;}", "No such variable."] {
            let shown = Shown::read(text);
            assert_eq!((&*shown.text, shown.children.len()), (text, 0), "{text}");
        }
        let deep = "{".repeat(DEPTH_MAX + 1) + &"}".repeat(DEPTH_MAX + 1);
        assert!(Shown::read(&deep).children.is_empty());
    }

    #[test]
    fn numbers_of_opened_values_are_forgotten() {
        let mut opened = Opened::default();
        let shown = Shown::read("{5}");
        let number = opened.add(&shown.children) as u64;
        assert_eq!(opened.get(number), Some(shown.children.clone()));
        assert_eq!((opened.add(&[]), opened.get(0), opened.get(9)), (0, None, None));
        let locals = opened.add_locals(3, &[("a".to_owned(), Shown::read("1"))]) as u64;
        assert_eq!((opened.level(locals), opened.level(number)), (Some(3), None));
        opened.set(locals, "a", &shown);
        assert_eq!(opened.get(locals), Some(vec![("a".to_owned(), shown.clone())]));
        opened.clear();
        assert_eq!(opened.get(number), None);
    }
}
