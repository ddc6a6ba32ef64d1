//! Forms that browsers send without a script: sign-in and first run. Small, strict, never half understood.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use zeroize::Zeroizing;

use super::PageError;
use crate::web::error::ApiError;
use crate::web::input::PATIENCE;

/// The fields of a form by name, each at most once.
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Takes a field out; empty where there is none.
    pub(super) fn take(&mut self, name: &str) -> Zeroizing<String> {
        let place = self.0.iter().position(|(field, _)| field == name);
        place.map(|place| self.0.swap_remove(place).1).unwrap_or_default()
    }

    /// # Errors
    /// A field is left that nobody took.
    pub(super) fn is_all(&self) -> Result<(), PageError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => {
                Err(ApiError::BadRequest("the form has a field that this page does not have".to_owned())
                    .into())
            }
        }
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let mut fields: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(parts.next()?)?;
            let value = decode(parts.next().unwrap_or_default())?;
            if fields.iter().any(|(field, _)| *field == *name) {
                return None;
            }
            fields.push((name.to_string(), value));
        }
        Some(Self(fields))
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, PageError> {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let form = "send the form as application/x-www-form-urlencoded, as browsers do";
            return Err(ApiError::BadRequest(form.to_owned()).into());
        }
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > MOST_BYTES_U64) {
            return Err(ApiError::TooLarge.into());
        }
        let body = read(request.into_body()).await?;
        let fault = "the form cannot be read: each field comes once, as UTF-8";
        Self::parse(&body).ok_or_else(|| ApiError::BadRequest(fault.to_owned()).into())
    }
}

async fn read(body: Body) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, MOST_BYTES).collect()).await;
    match whole.map_err(|_| ApiError::RequestTimeout)? {
        Ok(whole) => Ok(Zeroizing::new(whole.to_bytes().to_vec())),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge),
        Err(_) => Err(ApiError::BadRequest("the form could not be read".to_owned())),
    }
}

/// `+` is a space and `%XX` a byte; `None` for what is no UTF-8 then.
fn decode(text: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            other => other,
        });
    }
    std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// More than a name and a password of 1024 characters can be.
const MOST_BYTES: usize = 16 * 1024;
const MOST_BYTES_U64: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_what_is_no_form_is_none() {
        let mut form = Form::parse(b"username=a+b%2B%C3%A9&&password=&x").expect("a form");
        assert_eq!(form.take("username").as_str(), "a b+\u{e9}");
        assert_eq!((form.take("password").as_str(), form.take("absent").as_str()), ("", ""));
        assert!(form.is_all().is_err());
        form.take("x");
        assert!(form.is_all().is_ok());
        for none in ["a=%ff", "a=%C3", "a=%", "a=%4", "a=%zz", "a=%+1", "a=1&a=2", "%ff=1"] {
            assert!(Form::parse(none.as_bytes()).is_none(), "{none}");
        }
    }
}
