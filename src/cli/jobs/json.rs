//! TOML values as JSON, and as settings.

use serde_json::Value as Json;
use toml_edit::{Item, Value};

/// A value as JSON: dates become text. An error names what JSON cannot say.
pub(super) fn of_item(item: &Item) -> Result<Json, String> {
    match item {
        Item::None => Ok(Json::Null),
        Item::Value(value) => of_value(value),
        Item::Table(table) => table
            .iter()
            .map(|(key, item)| Ok((key.to_owned(), of_item(item)?)))
            .collect::<Result<_, _>>()
            .map(Json::Object),
        Item::ArrayOfTables(tables) => tables
            .iter()
            .map(|table| of_item(&Item::Table(table.clone())))
            .collect::<Result<_, _>>()
            .map(Json::Array),
    }
}

fn of_value(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::String(text) => Json::String(text.value().clone()),
        Value::Integer(number) => Json::from(*number.value()),
        Value::Float(number) => serde_json::Number::from_f64(*number.value())
            .map(Json::Number)
            .ok_or_else(|| format!("JSON has no number {}", number.value()))?,
        Value::Boolean(truth) => Json::Bool(*truth.value()),
        Value::Datetime(date) => Json::String(date.value().to_string()),
        Value::Array(list) => Json::Array(list.iter().map(of_value).collect::<Result<_, _>>()?),
        Value::InlineTable(table) => Json::Object(
            table
                .iter()
                .map(|(key, value)| Ok((key.to_owned(), of_value(value)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

/// A top-level item as the settings read it.
pub(super) fn setting(item: &Item) -> Option<toml::Value> {
    Some(match item {
        Item::None => return None,
        Item::Value(value) => setting_value(value),
        Item::Table(table) => toml::Value::Table(
            table
                .iter()
                .filter_map(|(key, item)| Some((key.to_owned(), setting(item)?)))
                .collect(),
        ),
        Item::ArrayOfTables(tables) => toml::Value::Array(
            tables
                .iter()
                .filter_map(|table| setting(&Item::Table(table.clone())))
                .collect(),
        ),
    })
}

fn setting_value(value: &Value) -> toml::Value {
    match value {
        Value::String(text) => toml::Value::String(text.value().clone()),
        Value::Integer(number) => toml::Value::Integer(*number.value()),
        Value::Float(number) => toml::Value::Float(*number.value()),
        Value::Boolean(truth) => toml::Value::Boolean(*truth.value()),
        Value::Datetime(date) => toml::Value::Datetime(*date.value()),
        Value::Array(list) => toml::Value::Array(list.iter().map(setting_value).collect()),
        Value::InlineTable(table) => toml::Value::Table(
            table
                .iter()
                .map(|(key, value)| (key.to_owned(), setting_value(value)))
                .collect(),
        ),
    }
}
