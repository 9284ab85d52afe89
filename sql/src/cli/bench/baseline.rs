//! The measure of things: DataFusion running the same query as a batch over the same lines, in one partition, nothing durable.
//!
//! It reads the file with its own JSON reader and writes its result as lines of JSON to a file. The result is then read back and hashed as the
//! output of the streaming query is.

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    dataframe::DataFrameWriteOptions,
    error::DataFusionError,
    prelude::{JsonReadOptions, SessionConfig, SessionContext},
};
use futures::StreamExt;

use super::{bids::bidders_of, table_hash::row_hashes, workload::Bids};
use crate::cli::{failure::Failure, stopwatch::Stopwatch};

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct BatchResult {
    /// From the query to the last byte of the result.
    pub seconds: f64,
    /// Rows of the result.
    pub rows: u64,
    /// Their hash; see [`table_hash`](super::table_hash).
    pub hash: u64,
}

/// Runs a workload over a file of bids; what it writes goes to `directory` and is removed again.
///
/// # Errors
/// Those of DataFusion and of the files.
pub fn run(workload: &Bids, hops: u32, bids: &Path, directory: &Path) -> Result<BatchResult, Failure> {
    let out = directory.join("baseline.ndjson");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("cannot start DataFusion: {error}")))?;
    let result = runtime.block_on(measure(workload, hops, bids, &out));
    let _ = fs::remove_file(&out);
    result.map_err(|error| Failure::Refused(format!("the baseline failed: {}", error.strip_backtrace())))
}

async fn measure(workload: &Bids, hops: u32, bids: &Path, out: &Path) -> Result<BatchResult, DataFusionError> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    register(&context, "bids", bids, &bid_schema()).await?;
    if workload.with_bidders {
        let schema = schema(&[("id", DataType::Int64), ("name", DataType::Utf8), ("city", DataType::Utf8)]);
        register(&context, "bidders", &bidders_of(bids), &schema).await?;
    }
    let path = out.to_string_lossy();
    let watch = Stopwatch::start();
    let query = context.sql(&workload.batch(hops)).await?;
    let columns = query.schema().as_arrow().clone();
    let options = DataFrameWriteOptions::new().with_single_file_output(true);
    query.write_json(&path, options, None).await?;
    let seconds = watch.elapsed().as_secs_f64();
    let (rows, hash) = hash_of(out, &columns).await?;
    Ok(BatchResult { seconds, rows, hash })
}

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>())
}

fn bid_schema() -> Schema {
    schema(&[
        ("auction", DataType::Int64),
        ("bidder", DataType::Int64),
        ("price", DataType::Int64),
        ("channel", DataType::Utf8),
        ("url", DataType::Utf8),
        ("date_time", DataType::Int64),
        ("extra", DataType::Utf8),
    ])
}

async fn register(context: &SessionContext, name: &str, path: &Path, schema: &Schema) -> Result<(), DataFusionError> {
    let ending = path.extension().map_or_else(String::new, |ending| format!(".{}", ending.to_string_lossy()));
    let options = JsonReadOptions::default().schema(schema).file_extension(&ending);
    context.register_json(name, path.to_string_lossy().as_ref(), options).await
}

/// Rows and hash of a file of lines.
async fn hash_of(path: &Path, columns: &Schema) -> Result<(u64, u64), DataFusionError> {
    let plain: Vec<Field> = columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let context = SessionContext::new();
    register(&context, "result", path, &Schema::new(plain)).await?;
    let mut batches = context.sql("SELECT * FROM result").await?.execute_stream().await?;
    let (mut rows, mut sum) = (0, 0_u64);
    while let Some(batch) = batches.next().await {
        let batch: RecordBatch = batch?;
        let columns: Vec<ArrayRef> = batch.columns().iter().map(Arc::clone).collect();
        rows += batch.num_rows() as u64;
        sum = row_hashes(&columns, batch.num_rows())?.into_iter().fold(sum, u64::wrapping_add);
    }
    Ok((rows, sum))
}
