//! Damage to the rows of a journal: what a wrong statement, a bug or a restored page
//! leaves behind. The database stays a sound one.

use std::path::Path;

use anyhow::Context as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::bytes::{change_digit, cut, flip};
use crate::chaos::random::Random;

/// Most rows that are deleted at once.
const MOST: usize = 4;

/// A kind of damage to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowDamage {
    /// A digit in a text of this table and column is another.
    Digit(Place),
    /// Rows are gone.
    Deleted(Place),
    /// Two rows have each other's place.
    Swapped(Place),
    /// The newest record of events is there twice.
    Repeated,
    /// The table is gone.
    Dropped(Place),
    /// A bit of the snapshot is another.
    SnapshotFlipped,
    /// The snapshot ends early.
    SnapshotCut,
    /// The snapshot is gone.
    SnapshotRemoved,
}

/// A column of texts in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: &'static str,
    /// Its key.
    pub key: &'static str,
    /// The texts.
    pub text: &'static str,
}

/// Stored results.
pub const RESULTS: Place = Place {
    table: "result",
    key: "task",
    text: "result",
};

/// Records of events.
pub const RECORDS: Place = Place {
    table: "journal",
    key: "sequence",
    text: "events",
};

/// Damages a journal; says how, or nothing where there is nothing to damage.
pub fn damage(
    journal: &Path,
    kind: RowDamage,
    random: &mut Random,
) -> anyhow::Result<Option<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(change(journal, kind, random))
        .with_context(|| format!("damage rows of `{}`: {kind:?}", journal.display()))
}

async fn change(
    journal: &Path,
    kind: RowDamage,
    random: &mut Random,
) -> anyhow::Result<Option<String>> {
    let options = SqliteConnectOptions::new().filename(journal);
    let mut database = SqliteConnection::connect_with(&options).await?;
    let done = match kind {
        RowDamage::Digit(place) => digit(&mut database, place, random).await,
        RowDamage::Deleted(place) => deleted(&mut database, place, random).await,
        RowDamage::Swapped(place) => swapped(&mut database, place, random).await,
        RowDamage::Repeated => repeated(&mut database, random).await,
        RowDamage::Dropped(place) => {
            execute(&mut database, format!("DROP TABLE {}", place.table)).await?;
            Ok(Some(format!("table `{}` dropped", place.table)))
        }
        RowDamage::SnapshotFlipped => snapshot(&mut database, |state| flip(state, random)).await,
        RowDamage::SnapshotCut => snapshot(&mut database, |state| cut(state, random)).await,
        RowDamage::SnapshotRemoved => {
            let gone = execute(&mut database, "DELETE FROM snapshot_chunk".to_owned()).await?;
            execute(&mut database, "DELETE FROM snapshot_head".to_owned()).await?;
            Ok((gone > 0).then(|| "the snapshot removed".to_owned()))
        }
    };
    database.close().await?;
    done
}

async fn execute(database: &mut SqliteConnection, statement: String) -> anyhow::Result<u64> {
    let done = sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(database)
        .await?;
    Ok(done.rows_affected())
}

/// The row identities of a table, in order. Keys are texts here whatever they are, by
/// which both kinds of table can be asked alike.
async fn keys(database: &mut SqliteConnection, place: Place) -> anyhow::Result<Vec<String>> {
    let Place { table, key, .. } = place;
    let statement = format!("SELECT quote({key}) FROM {table} ORDER BY {key}");
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .fetch_all(database)
        .await?;
    let keys = rows.iter().map(|row| row.try_get(0));
    Ok(keys.collect::<Result<_, _>>()?)
}

async fn text(database: &mut SqliteConnection, place: Place, row: &str) -> anyhow::Result<String> {
    let Place { table, key, text } = place;
    let statement = format!("SELECT {text} FROM {table} WHERE {key} = {row}");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .fetch_one(database)
        .await?;
    Ok(row.try_get(0)?)
}

async fn put(
    database: &mut SqliteConnection,
    place: Place,
    row: &str,
    value: &str,
) -> anyhow::Result<()> {
    let Place { table, key, text } = place;
    let statement = format!("UPDATE {table} SET {text} = ? WHERE {key} = {row}");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(value)
        .execute(database)
        .await?;
    Ok(())
}

async fn digit(
    database: &mut SqliteConnection,
    place: Place,
    random: &mut Random,
) -> anyhow::Result<Option<String>> {
    let keys = keys(database, place).await?;
    let Some(row) = keys.get(random.below(keys.len())) else {
        return Ok(None);
    };
    let mut bytes = text(database, place, row).await?.into_bytes();
    let Some(done) = change_digit(&mut bytes, random) else {
        return Ok(None);
    };
    put(database, place, row, &String::from_utf8(bytes)?).await?;
    Ok(Some(format!("`{}` {row}: {done}", place.table)))
}

async fn deleted(
    database: &mut SqliteConnection,
    place: Place,
    random: &mut Random,
) -> anyhow::Result<Option<String>> {
    let mut keys = keys(database, place).await?;
    random.shuffle(&mut keys);
    keys.truncate(1 + random.below(MOST));
    if keys.is_empty() {
        return Ok(None);
    }
    let rows = keys.join(", ");
    let Place { table, key, .. } = place;
    execute(
        database,
        format!("DELETE FROM {table} WHERE {key} IN ({rows})"),
    )
    .await?;
    Ok(Some(format!("`{table}` {rows} deleted")))
}

async fn swapped(
    database: &mut SqliteConnection,
    place: Place,
    random: &mut Random,
) -> anyhow::Result<Option<String>> {
    let mut keys = keys(database, place).await?;
    random.shuffle(&mut keys);
    let [one, other, ..] = keys.as_slice() else {
        return Ok(None);
    };
    // Whole rows: each says all that the other one did.
    let Place { table, key, .. } = place;
    for (from, to) in [(one.as_str(), "X'00'"), (other, one), ("X'00'", other)] {
        let rename = format!("UPDATE {table} SET {key} = {to} WHERE {key} = {from}");
        execute(database, rename).await?;
    }
    Ok(Some(format!("`{}` {one} and {other} swapped", place.table)))
}

async fn repeated(
    database: &mut SqliteConnection,
    random: &mut Random,
) -> anyhow::Result<Option<String>> {
    let keys = keys(database, RECORDS).await?;
    let Some(row) = keys.get(random.below(keys.len())) else {
        return Ok(None);
    };
    // Every column but the number, whatever the format has.
    let columns = sqlx::query("SELECT name FROM pragma_table_info('journal') WHERE pk = 0")
        .fetch_all(&mut *database)
        .await?;
    let columns: Vec<String> = columns
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let columns = columns.join(", ");
    let again = format!(
        "INSERT INTO journal ({columns}) SELECT {columns} FROM journal WHERE sequence = {row}"
    );
    execute(database, again).await?;
    Ok(Some(format!("`journal` {row} repeated")))
}

async fn snapshot(
    database: &mut SqliteConnection,
    damage: impl FnOnce(&mut Vec<u8>) -> Option<String>,
) -> anyhow::Result<Option<String>> {
    let row = sqlx::query("SELECT state FROM snapshot_chunk ORDER BY chunk LIMIT 1")
        .fetch_optional(&mut *database)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let mut state: Vec<u8> = row.try_get(0)?;
    let Some(done) = damage(&mut state) else {
        return Ok(None);
    };
    sqlx::query("UPDATE snapshot_chunk SET state = ? WHERE chunk = 0")
        .bind(state)
        .execute(database)
        .await?;
    Ok(Some(format!("snapshot: {done}")))
}
