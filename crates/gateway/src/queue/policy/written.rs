//! How a change of the rules is read from JSON or TOML.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::PolicyChange;

/// By names only: derived code alone would also take a list of values.
impl<'de> Deserialize<'de> for PolicyChange {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ByName;

        impl<'de> Visitor<'de> for ByName {
            type Value = PolicyChange;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object with rules of a queue")
            }

            fn visit_map<A: MapAccess<'de>>(self, rules: A) -> Result<PolicyChange, A::Error> {
                PolicyChange::deserialize(MapAccessDeserializer::new(rules))
            }
        }

        from.deserialize_map(ByName)
    }
}

/// A field that is always there has no `null`.
pub(super) fn present<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(from).map(Some)
}

/// Tells a field that is `null` from one that is not there.
pub(super) fn named<'de, T, D>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(from).map(Some)
}
