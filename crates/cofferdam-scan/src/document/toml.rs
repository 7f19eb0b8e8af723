//! TOML. Its parser refuses duplicate keys itself.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Bounds, DocumentFault, Part, Value, at, whole};

pub(super) fn parse(text: &str) -> Result<Part, DocumentFault> {
    let root = DeTable::parse(text).map_err(|error| match error.span() {
        Some(span) => at(text, span.start, error.message()),
        None => whole(error.message()),
    })?;
    let members = table(text, root.into_inner(), 0, &mut Bounds::default())?;
    Ok(Part {
        span: 0..text.len(),
        value: Value::Table(members),
    })
}

fn table(
    text: &str,
    table: DeTable<'_>,
    depth: usize,
    bounds: &mut Bounds,
) -> Result<Vec<(String, Part)>, DocumentFault> {
    let members = table.into_iter();
    members
        .map(|(name, value)| Ok((name.into_inner().into_owned(), part(text, value, depth, bounds)?)))
        .collect()
}

fn part(text: &str, value: Spanned<DeValue<'_>>, depth: usize, bounds: &mut Bounds) -> Result<Part, DocumentFault> {
    let span = value.span();
    bounds.check(depth).map_err(|why| at(text, span.start, why))?;
    let depth = depth.saturating_add(1);
    let value = match value.into_inner() {
        DeValue::String(string) => Value::Text(string.into_owned()),
        DeValue::Boolean(yes) => Value::Bool(yes),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
        DeValue::Array(array) => Value::List(
            array
                .into_iter()
                .map(|element| part(text, element, depth, bounds))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(inner) => Value::Table(table(text, inner, depth, bounds)?),
    };
    Ok(Part { span, value })
}
