//! JSON with comments and trailing commas.

use std::collections::HashSet;

use jsonc_parser::ast::{ObjectPropName, Value as Ast};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::{Bounds, DocumentFault, Part, Value, add_member, at, whole};

/// What VS Code, Zed and the like allow. JSON5's further liberties are refused: other readers of the same file do not have them.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) fn parse(text: &str) -> Result<Part, DocumentFault> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS)
        .map_err(|error| at(text, error.range().start, error.kind().to_string()))?;
    match parsed.value {
        Some(value) => part(text, value, 0, &mut Bounds::default()),
        None if text.trim().is_empty() => Ok(Part {
            span: 0..text.len(),
            value: Value::Table(Vec::new()),
        }),
        None => Err(whole("it holds nothing but comments")),
    }
}

fn part(text: &str, value: Ast<'_>, depth: usize, bounds: &mut Bounds) -> Result<Part, DocumentFault> {
    let range = value.range();
    bounds.check(depth).map_err(|why| at(text, range.start, why))?;
    let value = match value {
        Ast::StringLit(literal) => Value::Text(literal.value.into_owned()),
        Ast::BooleanLit(literal) => Value::Bool(literal.value),
        Ast::NumberLit(_) | Ast::NullKeyword(_) => Value::Other,
        Ast::Array(array) => {
            let elements = array.elements.into_iter();
            Value::List(
                elements
                    .map(|element| part(text, element, depth.saturating_add(1), bounds))
                    .collect::<Result<_, _>>()?,
            )
        }
        Ast::Object(object) => {
            let (mut members, mut seen) = (Vec::new(), HashSet::new());
            for property in object.properties {
                let start = property.range.start;
                let name = match property.name {
                    ObjectPropName::String(literal) => literal.value.into_owned(),
                    ObjectPropName::Word(word) => word.value.to_owned(),
                };
                let member = part(text, property.value, depth.saturating_add(1), bounds)?;
                add_member(&mut members, &mut seen, (name, member)).map_err(|why| at(text, start, why))?;
            }
            Value::Table(members)
        }
    };
    Ok(Part {
        span: range.start..range.end,
        value,
    })
}
