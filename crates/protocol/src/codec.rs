//! Message <-> WebSocket payload: JSON text, or the same zstd-compressed in a binary frame.
//!
//! The size limit holds for what arrives and for what it decompresses to, so a small frame cannot ask for
//! gigabytes.

use std::io::Read;

use thiserror::Error;

use crate::close::Close;
use crate::message::{Message, Tag};
use crate::object::object;

/// The content of one WebSocket data frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// zstd-compressed JSON.
    Binary(Vec<u8>),
    /// JSON.
    Text(String),
}

/// Why a payload is not a message.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// A binary frame that is not zstd.
    #[error("binary frame is not zstd-compressed")]
    Compression(#[source] std::io::Error),
    /// Not the JSON of a message.
    #[error("not a message")]
    Json(#[from] serde_json::Error),
    /// Over the limit, as it came or decompressed.
    #[error("message is over {limit} bytes")]
    TooBig {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A binary frame that is not UTF-8 once decompressed.
    #[error("decompressed message is not UTF-8")]
    Utf8(#[source] std::string::FromUtf8Error),
}

impl DecodeError {
    /// The close code that answers it.
    #[must_use]
    pub fn close(&self) -> Close {
        match self {
            Self::TooBig { .. } => Close::TooBig,
            Self::Compression(_) | Self::Json(_) | Self::Utf8(_) => Close::Malformed,
        }
    }
}

/// Turns a message into a payload; a large one is compressed.
///
/// # Errors
/// What serde_json says; none of today's messages can fail.
pub fn encode<M: Message>(message: &M) -> serde_json::Result<Payload> {
    let json = message.to_tagged()?;
    if json.len() < COMPRESS_FROM_BYTES {
        return Ok(Payload::Text(json));
    }
    Ok(match zstd::bulk::compress(json.as_bytes(), COMPRESSION_LEVEL) {
        Ok(compressed) => Payload::Binary(compressed),
        Err(_) => Payload::Text(json),
    })
}

/// Reads a message out of a text frame.
///
/// # Errors
/// [`DecodeError::TooBig`] over `limit` bytes, [`DecodeError::Json`] when it is no message.
pub fn decode_text<M: Message>(text: &str, limit: usize) -> Result<M, DecodeError> {
    if text.len() > limit {
        return Err(DecodeError::TooBig { limit });
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let tag: Tag<'_> = object(&mut json)?;
    json.end()?;
    Ok(M::from_tagged(&tag.tag, text)?)
}

/// Reads a message out of a binary frame, whose content is zstd-compressed.
///
/// # Errors
/// All of [`DecodeError`].
pub fn decode_binary<M: Message>(data: &[u8], limit: usize) -> Result<M, DecodeError> {
    if data.len() > limit {
        return Err(DecodeError::TooBig { limit });
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(DecodeError::Compression)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(DecodeError::Compression)?;
    let mut json = Vec::new();
    let one_over = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(one_over).read_to_end(&mut json).map_err(DecodeError::Compression)?;
    if json.len() > limit {
        return Err(DecodeError::TooBig { limit });
    }
    decode_text(&String::from_utf8(json).map_err(DecodeError::Utf8)?, limit)
}

/// Reads a message out of a payload.
///
/// # Errors
/// All of [`DecodeError`].
pub fn decode<M: Message>(payload: &Payload, limit: usize) -> Result<M, DecodeError> {
    match payload {
        Payload::Binary(data) => decode_binary(data, limit),
        Payload::Text(text) => decode_text(text, limit),
    }
}

/// Below this a message travels as text: compressing it saves less than it costs.
const COMPRESS_FROM_BYTES: usize = 4 * 1024;

/// zstd's own default.
const COMPRESSION_LEVEL: i32 = 3;

/// 2^23 = 8 MiB: what level 19 asks for; bounds the memory that a peer can make the decoder take.
const WINDOW_LOG_MAX: u32 = 23;

#[cfg(test)]
mod tests;
