//! Rows in the binary format of COPY, see the server's manual on COPY.
use crate::{Value, ValueRef};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// What stands before the first row: signature, no flags, no further header.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 8]);
}

/// One row; `None` if something of it is longer than the format can say.
pub(super) fn row(out: &mut Vec<u8>, row: &[Value]) -> Option<()> {
    out.extend_from_slice(&i16::try_from(row.len()).ok()?.to_be_bytes());
    row.iter().try_for_each(|value| match value.borrowed() {
        ValueRef::Null => {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            Some(())
        }
        ValueRef::Integer(number) => field(out, &number.to_be_bytes()),
        ValueRef::Text(text) => field(out, text.as_bytes()),
        ValueRef::Bytes(bytes) => field(out, bytes),
    })
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

/// What stands behind the last row.
pub(super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i16).to_be_bytes());
}
