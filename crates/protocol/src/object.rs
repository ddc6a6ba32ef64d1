//! Structs from JSON objects, and from nothing else: what serde derives takes an array of the values, too.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Reads a `T` out of an object. For `#[serde(deserialize_with)]`.
///
/// # Errors
/// What `T` says, and for everything that is no object.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Fields<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    deserializer.deserialize_map(Fields(PhantomData))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::object;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        left: u32,
        #[serde(default)]
        right: Option<String>,
    }

    fn read(json: &str) -> serde_json::Result<Pair> {
        object(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn an_object_is_read_and_nothing_else() {
        assert_eq!(
            read(r#"{"left":1,"right":"r"}"#).expect("good"),
            Pair { left: 1, right: Some("r".to_owned()) }
        );
        for json in [r#"[1,"r"]"#, "1", "null", r#""left""#] {
            let error = read(json).expect_err(json).to_string();
            assert!(error.contains("expected a JSON object"), "{error}");
        }
    }
}
