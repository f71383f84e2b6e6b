//! Read-only roles of the database, for `viewfold access`.

use super::parts;
use crate::config::Config;
use crate::fault::Result;

pub use crate::store::postgres::ReaderGrant;

/// Lets a Postgres role read the views, or takes that back; answers the SQL that was carried out, or, with `print`,
/// would be.
pub async fn set_reader(
    config: &Config,
    role: &str,
    grant: ReaderGrant,
    print: bool,
) -> Result<Vec<String>> {
    let store = parts::postgres(config)?;
    match print {
        true => Ok(store.reader_statements(role, grant)),
        false => store.set_reader(role, grant).await,
    }
}
