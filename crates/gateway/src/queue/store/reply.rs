//! Owns how the reply of a script is read: names and values in turn, in whatever order.
//!
//! A flat list is the cheapest form that names its values: Redis builds it without an encoder, and a
//! value that one side does not know is left alone by the other.

use redis::{FromRedisValue, ParsingError, Value, from_redis_value, from_redis_value_ref};

use crate::queue::StoreError;

/// What a script said.
#[derive(Debug)]
pub(in crate::queue) struct Reply(Vec<(Vec<u8>, Value)>);

impl Reply {
    /// What became of the call: each script says it under this name.
    pub fn verdict(&self) -> &str {
        match self.value("verdict") {
            Some(Value::BulkString(text)) => std::str::from_utf8(text).unwrap_or_default(),
            _ => "",
        }
    }

    /// The value of this name.
    ///
    /// # Errors
    /// `Odd` when there is none, or it is of another type.
    pub fn get<T: FromRedisValue>(&self, name: &'static str) -> Result<T, StoreError> {
        let value = self.value(name).ok_or(StoreError::Odd(name))?;
        from_redis_value_ref(value).map_err(|_| StoreError::Odd(name))
    }

    /// As [`Reply::get`], where it is large and nobody asks for it again.
    ///
    /// # Errors
    /// As of [`Reply::get`].
    pub fn take<T: FromRedisValue>(&mut self, name: &'static str) -> Result<T, StoreError> {
        let named = self.0.iter_mut().find(|(it, _)| it == name.as_bytes());
        let (_, value) = named.ok_or(StoreError::Odd(name))?;
        let value = std::mem::replace(value, Value::Nil);
        from_redis_value(value).map_err(|_| StoreError::Odd(name))
    }

    /// The value of this name, or the default of its type where the script said none.
    ///
    /// # Errors
    /// `Odd` when it is of another type.
    pub fn get_or_default<T: FromRedisValue + Default>(
        &self,
        name: &'static str,
    ) -> Result<T, StoreError> {
        match self.value(name) {
            Some(_) => self.get(name),
            None => Ok(T::default()),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let named = self.0.iter().find(|(it, _)| it == name.as_bytes());
        named.map(|(_, value)| value)
    }
}

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let Value::Array(flat) = value else {
            return Err("a reply that is no list".into());
        };
        let (mut named, mut flat) = (Vec::with_capacity(flat.len() / 2), flat.into_iter());
        while let Some(name) = flat.next() {
            let value = flat.next().ok_or("a name without a value")?;
            let Value::BulkString(name) = name else {
                return Err("a name that is no text".into());
            };
            named.push((name, value));
        }
        Ok(Self(named))
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, from_redis_value};

    use super::Reply;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn values_are_found_by_name_whatever_their_order() {
        let said = |flat| from_redis_value::<Reply>(Value::Array(flat));
        let reply = said(vec![
            text("ahead"),
            Value::Int(41),
            text("verdict"),
            text("waiting"),
        ]);
        let reply = reply.expect("pairs");
        assert_eq!(reply.verdict(), "waiting");
        assert_eq!(reply.get::<u64>("ahead").ok(), Some(41));
        assert!(reply.get::<u64>("verdict").is_err() && reply.get::<u64>("room").is_err());
        assert_eq!(reply.get_or_default::<u64>("room").ok(), Some(0));
        assert!(said(vec![text("ahead")]).is_err());
        assert!(from_redis_value::<Reply>(Value::Int(1)).is_err());
    }
}
