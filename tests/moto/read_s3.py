"""What an S3 sink has written, read by programs that are not Millstream's.

usage: read_s3.py ENDPOINT BUCKET TOPICS_DIR CONNECTOR

Prints a JSON object: `rows`, the rows of the files that the manifest names, in the order of manifest and file; `listed`, the keys below the
directories of the topics; `named`, the keys that the manifest names; `uploads`, key and name of unfinished uploads that have parts; `begun`, how many have none.
"""

import datetime, decimal, io, json, re, sys

import boto3
import fastavro
import pyarrow
import pyarrow.csv
import pyarrow.parquet

endpoint, bucket, topics_dir, connector = sys.argv[1:]
s3 = boto3.client(
    "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
)


def get(key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def keys(prefix):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sorted(item["Key"] for page in pages for item in page.get("Contents", []))


def plain(value):
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return round(value.timestamp() * 1000)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value))


def instant(value):
    """Times are text in JSON."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z?", value):
        return datetime.datetime.fromisoformat(value)
    return value


def rows(key, content):
    if key.endswith(".zst"):
        content = pyarrow.CompressedInputStream(pyarrow.BufferReader(content), "zstd").read()
        key = key[:-4]
    if key.endswith(".parquet"):
        return pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    if key.endswith(".avro"):
        return list(fastavro.reader(io.BytesIO(content)))
    if key.endswith(".csv"):
        options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
        return pyarrow.csv.read_csv(io.BytesIO(content), convert_options=options).to_pylist()
    return [{name: instant(value) for name, value in json.loads(line).items()} for line in content.splitlines()]


manifest = keys(f"{topics_dir}/_millstream/{connector}/")
entries = [json.loads(get(key)) for key in manifest]
files = [file for entry in entries for file in entry.get("files", [])]
read = []
for file in files:
    content = get(file["key"])
    found = rows(file["key"], content)
    assert len(found) == file["rows"], (file, len(found))
    assert len(content) == file["bytes"], (file, len(content))
    read += found
listed = [key for key in keys(f"{topics_dir}/") if not key.startswith(f"{topics_dir}/_millstream/")]
begun = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
uploads = [u for u in begun if s3.list_parts(Bucket=bucket, Key=u["Key"], UploadId=u["UploadId"]).get("Parts")]
json.dump(
    {"rows": read, "listed": listed, "named": sorted(file["key"] for file in files), "uploads": [f"{u['Key']} {u['UploadId']}" for u in uploads],
     "begun": len(begun) - len(uploads)},
    sys.stdout,
    default=plain,
)
