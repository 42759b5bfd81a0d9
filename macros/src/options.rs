//! The options of `#[tlo::task(…)]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, Lit, LitStr, Result, Token};

/// Options that say when; at most one of them.
const SCHEDULES: &[&str] = &["every", "cron", "quartz", "at", "after", "schedule"];

/// Options that may be given again.
const REPEATED: &[&str] = &["alias", "tag", "gate", "layer", "exclusive", "metadata"];

/// Options with one value, which is the argument of the builder's method of that name.
const VALUES: &[&str] = &[
    "every",
    "cron",
    "quartz",
    "at",
    "after",
    "schedule",
    "zone",
    "dst",
    "misfire",
    "grace",
    "overlap",
    "jitter",
    "max_runs",
    "queue",
    "priority",
    "max_attempts",
    "max_lost",
    "retry",
    "timeout",
    "lease",
    "exclusive",
    "limit",
    "args",
    "layer",
    "version",
    "alias",
    "tag",
    "description",
];

/// Options with two values in parentheses.
const PAIRS: &[&str] = &["gate", "metadata"];

/// The options, read and checked.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<Expr>,
    pub(crate) collect: bool,
    pub(crate) described: bool,
    pub(crate) version: Option<Expr>,
    /// The calls on the builder, in the order of the options.
    pub(crate) calls: Vec<TokenStream>,
}

struct Given {
    name: Ident,
    values: Vec<Expr>,
    /// Written as `name(…)`.
    listed: bool,
}

impl Parse for Given {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = Ident::parse_any(input)?;
        let mut listed = false;
        let values = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            vec![input.parse()?]
        } else if input.peek(syn::token::Paren) {
            listed = true;
            let content;
            syn::parenthesized!(content in input);
            Punctuated::<Expr, Token![,]>::parse_terminated(&content)?
                .into_iter()
                .collect()
        } else {
            Vec::new()
        };
        Ok(Self {
            name,
            values,
            listed,
        })
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let given = Punctuated::<Given, Token![,]>::parse_terminated(input)?;
        let mut faults: Option<Error> = None;
        let mut fault = |error: Error| match &mut faults {
            Some(all) => all.combine(error),
            None => faults = Some(error),
        };
        let mut options = Self {
            collect: true,
            ..Self::default()
        };
        let mut seen: Vec<String> = Vec::new();
        for option in &given {
            let name = option.name.to_string();
            if let Err(error) = check_again(&seen, &name, option.name.span()) {
                fault(error);
            } else if let Err(error) = options.take(option) {
                fault(error);
            }
            seen.push(name);
        }
        let has = |name: &str| seen.iter().any(|known| known == name);
        if let Some(zone) = given.iter().find(|option| option.name == "zone")
            && !has("cron")
            && !has("quartz")
        {
            fault(Error::new(
                zone.name.span(),
                "`zone` needs a `cron` or `quartz` expression",
            ));
        }
        faults.map_or(Ok(options), Err)
    }
}

fn check_again(seen: &[String], name: &str, span: Span) -> Result<()> {
    if seen.iter().any(|known| known == name) && !REPEATED.contains(&name) {
        return Err(Error::new(span, format!("`{name}` is given twice")));
    }
    if SCHEDULES.contains(&name)
        && let Some(other) = seen
            .iter()
            .find(|known| SCHEDULES.contains(&known.as_str()))
    {
        return Err(Error::new(
            span,
            format!("`{name}` is a second schedule beside `{other}`; keep one"),
        ));
    }
    Ok(())
}

impl Options {
    fn take(&mut self, option: &Given) -> Result<()> {
        let name = option.name.to_string();
        match name.as_str() {
            "name" => self.name = Some(option.one_value()?.clone()),
            "collect" => self.collect = option.truth()?,
            "run_at_start" => {
                if option.truth()? {
                    self.call(option, &[]);
                }
            }
            pair if PAIRS.contains(&pair) => match option.values.as_slice() {
                [first, second] => self.call(option, &[quote!(#first), quote!(#second)]),
                _ => {
                    return Err(Error::new(
                        option.name.span(),
                        format!("`{pair}` takes two values: {pair}(\"…\", …)"),
                    ));
                }
            },
            value if VALUES.contains(&value) => {
                self.described |= value == "description";
                if value == "version" {
                    self.version = Some(option.one_value()?.clone());
                }
                let value = option.value_as_argument(value)?;
                self.call(option, &[value]);
            }
            unknown => return Err(unknown_option(unknown, option.name.span())),
        }
        Ok(())
    }

    fn call(&mut self, option: &Given, arguments: &[TokenStream]) {
        let method = &option.name;
        // Where the value is wrong, the compiler points at it.
        let span = option.values.first().map_or(method.span(), Expr::span);
        self.calls
            .push(quote_spanned!(span=> .#method(#(#arguments),*)));
    }
}

impl Given {
    fn one_value(&self) -> Result<&Expr> {
        match self.values.as_slice() {
            [value] if !self.listed => Ok(value),
            _ => {
                let name = &self.name;
                Err(Error::new(
                    name.span(),
                    format!("`{name}` takes one value: {name} = …"),
                ))
            }
        }
    }

    /// A flag: given, or `= true`, or `= false`.
    fn truth(&self) -> Result<bool> {
        if self.values.is_empty() && !self.listed {
            return Ok(true);
        }
        match self.one_value()? {
            Expr::Lit(ExprLit {
                lit: Lit::Bool(truth),
                ..
            }) => Ok(truth.value),
            other => Err(Error::new(
                other.span(),
                format!("`{}` is true or false", self.name),
            )),
        }
    }

    /// Policies may be written as text.
    fn value_as_argument(&self, name: &str) -> Result<TokenStream> {
        let value = self.one_value()?;
        let words: &[(&str, &str)] = match name {
            "misfire" => &[("skip", "Skip"), ("once", "Once")],
            "overlap" => &[
                ("skip", "Skip"),
                ("queue", "Queue"),
                ("allow", "Allow"),
                ("replace", "Replace"),
            ],
            _ => return Ok(quote!(#value)),
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) = value
        else {
            return Ok(quote!(#value));
        };
        policy(name, words, text)
    }
}

fn policy(name: &str, words: &[(&str, &str)], text: &LitStr) -> Result<TokenStream> {
    let written = text.value();
    let Some((_, variant)) = words.iter().find(|(word, _)| *word == written) else {
        let all: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        return Err(Error::new(
            text.span(),
            format!("`{name}` is one of {}", all.join(", ")),
        ));
    };
    let variant = Ident::new(variant, text.span());
    Ok(if name == "misfire" {
        quote!(::tlo::schedule::Misfire::#variant)
    } else {
        quote!(::tlo::schedule::Overlap::#variant)
    })
}

fn unknown_option(name: &str, span: Span) -> Error {
    let known = VALUES
        .iter()
        .chain(PAIRS)
        .chain(&["name", "collect", "run_at_start"]);
    let nearest = known
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= name.len().div_ceil(3).max(1));
    let hint = nearest.map_or_else(
        || "; such as every, cron, queue, timeout, max_attempts".to_owned(),
        |(_, known)| format!("; did you mean `{known}`?"),
    );
    Error::new(span, format!("unknown option `{name}`{hint}"))
}

/// The number of letters to add, drop or change.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
