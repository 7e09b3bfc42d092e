//! RustFS's own codec behind two pipes, so that the tests can ask it what it makes of a file.
//!
//!     filemeta-peer read     stdin: files, each behind its length (u32 BE); stdout: a JSON line for each
//!     filemeta-peer write    stdin: a JSON line for each file; stdout: files, each behind its length
//!
//! A line of `read` holds `versions` (header and body, or the `error` of a body) and `inline`, or the `error`
//! of the whole file. `write` takes the same shape: it adds the versions one by one, in the order given, as
//! the server does. Bytes are hexadecimal, times nanoseconds since 1970, ids UUIDs; null is the nil UUID.

use rustfs_filemeta::{
    ChecksumAlgo, ErasureAlgo, FileMeta, FileMetaShallowVersion, FileMetaVersion, MetaDeleteMarker, MetaObject,
    VersionType,
};
use serde_json::{json, Map, Value};
use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use time::OffsetDateTime;
use uuid::Uuid;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        Some("read") => read_all(),
        Some("write") => write_all(),
        _ => Err("usage: filemeta-peer read | write".into()),
    }
}

fn read_all() -> Result<(), Failure> {
    let (mut input, mut output) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    let mut length = [0u8; 4];
    while input.read_exact(&mut length).is_ok() {
        let mut file = vec![0u8; u32::from_be_bytes(length) as usize];
        input.read_exact(&mut file)?;
        let told = match FileMeta::load(&file) {
            Ok(meta) => describe(&meta),
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(output, "{told}")?;
    }
    Ok(())
}

fn describe(meta: &FileMeta) -> Value {
    let versions: Vec<Value> = meta.versions.iter().map(describe_version).collect();
    json!({ "metaVer": meta.meta_ver, "versions": versions, "inline": inline_entries(meta) })
}

fn describe_version(version: &FileMetaShallowVersion) -> Value {
    let header = &version.header;
    let mut told = json!({
        "id": header.version_id.unwrap_or_default().to_string(),
        "time": nanoseconds(header.mod_time),
        "signature": hex(&header.signature),
        "type": header.version_type.to_u8(),
        "flags": header.flags,
        "ecN": header.ec_n,
        "ecM": header.ec_m,
    });
    match FileMetaVersion::try_from(version.meta.as_slice()) {
        Ok(body) if body.valid() => told["body"] = describe_body(&body),
        Ok(_) => told["error"] = json!("not valid"),
        Err(error) => told["error"] = json!(error.to_string()),
    }
    told
}

fn describe_body(body: &FileMetaVersion) -> Value {
    let mut told = json!({
        "id": body.get_version_id().unwrap_or_default().to_string(),
        "time": nanoseconds(body.get_mod_time()),
        "writtenBy": body.write_version,
        "earlyChecksum": body.uses_legacy_checksum,
        "free": body.free_version(),
        "signature": hex(&body.get_signature()),
    });
    if let Some(object) = &body.object {
        told["metaSys"] = hex_map(&object.meta_sys);
        told["object"] = json!({
            "dataDir": object.data_dir.unwrap_or_default().to_string(),
            "ecAlgo": object.erasure_algorithm.to_u8(),
            "ecM": object.erasure_m,
            "ecN": object.erasure_n,
            "ecBlockSize": object.erasure_block_size,
            "ecIndex": object.erasure_index,
            "ecDist": object.erasure_dist,
            "csumAlgo": object.bitrot_checksum_algo.to_u8(),
            "partNums": object.part_numbers,
            "partETags": object.part_etags,
            "partSizes": object.part_sizes,
            "partActualSizes": object.part_actual_sizes,
            "partIndices": object.part_indices.iter().map(|index| hex(index)).collect::<Vec<_>>(),
            "size": object.size,
            "metaUser": object.meta_user,
        });
    } else if let Some(marker) = &body.delete_marker {
        told["metaSys"] = hex_map(&marker.meta_sys);
    } else if let Some(old) = &body.legacy_object {
        told["old"] = json!({
            "size": old.stat.size,
            "ecM": old.erasure.data_blocks,
            "ecN": old.erasure.parity_blocks,
            "metaUser": old.meta,
        });
    }
    told
}

/// What the server finds under the keys that it looks for.
fn inline_entries(meta: &FileMeta) -> Value {
    let mut found = Map::new();
    for version in &meta.versions {
        let id = version.header.version_id.unwrap_or_default();
        let keys = if id.is_nil() { vec!["null".to_string(), id.to_string()] } else { vec![id.to_string()] };
        for key in keys {
            if let Ok(Some(content)) = meta.data.find(&key) {
                found.insert(key, json!(hex(&content)));
            }
        }
    }
    Value::Object(found)
}

fn write_all() -> Result<(), Failure> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let wanted: Value = serde_json::from_str(&line?)?;
        let mut meta = FileMeta::new();
        for version in list(&wanted["versions"]) {
            meta.add_version_filemata(version_of(version)?)?;
        }
        for (key, content) in wanted["inline"].as_object().into_iter().flatten() {
            meta.data.replace(key, unhex(content)?)?;
        }
        let file = meta.marshal_msg()?;
        output.write_all(&(file.len() as u32).to_be_bytes())?;
        output.write_all(&file)?;
    }
    Ok(())
}

fn version_of(wanted: &Value) -> Result<FileMetaVersion, Failure> {
    let version_id = uuid(&wanted["id"])?;
    let mod_time = Some(OffsetDateTime::from_unix_timestamp_nanos(i128::from(integer(&wanted["time"])))?);
    let meta_sys = bytes_map(&wanted["metaSys"])?;
    let write_version = integer(&wanted["writtenBy"]) as u64;
    let Some(object) = wanted["object"].as_object() else {
        return Ok(FileMetaVersion {
            version_type: VersionType::Delete,
            delete_marker: Some(MetaDeleteMarker { version_id, mod_time, meta_sys }),
            write_version,
            ..Default::default()
        });
    };
    let object = &Value::Object(object.clone());
    let indices = list(&object["partIndices"]).iter().map(|item| Ok(unhex(item)?.into()));
    Ok(FileMetaVersion {
        version_type: VersionType::Object,
        object: Some(MetaObject {
            version_id,
            data_dir: uuid(&object["dataDir"])?,
            erasure_algorithm: ErasureAlgo::from_u8(integer(&object["ecAlgo"]) as u8),
            erasure_m: integer(&object["ecM"]) as usize,
            erasure_n: integer(&object["ecN"]) as usize,
            erasure_block_size: integer(&object["ecBlockSize"]) as usize,
            erasure_index: integer(&object["ecIndex"]) as usize,
            erasure_dist: list(&object["ecDist"]).iter().map(|item| integer(item) as u8).collect(),
            bitrot_checksum_algo: ChecksumAlgo::from_u8(integer(&object["csumAlgo"]) as u8),
            part_numbers: list(&object["partNums"]).iter().map(|item| integer(item) as usize).collect(),
            part_etags: list(&object["partETags"]).iter().map(text).collect(),
            part_sizes: list(&object["partSizes"]).iter().map(|item| integer(item) as usize).collect(),
            part_actual_sizes: list(&object["partActualSizes"]).iter().map(integer).collect(),
            part_indices: indices.collect::<Result<Vec<_>, Failure>>()?,
            size: integer(&object["size"]),
            mod_time,
            meta_sys,
            meta_user: texts(&object["metaUser"]),
        }),
        write_version,
        ..Default::default()
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn texts(value: &Value) -> HashMap<String, String> {
    value.as_object().into_iter().flatten().map(|(key, item)| (key.clone(), text(item))).collect()
}

fn bytes_map(value: &Value) -> Result<HashMap<String, Vec<u8>>, Failure> {
    value.as_object().into_iter().flatten().map(|(key, item)| Ok((key.clone(), unhex(item)?))).collect()
}

fn uuid(value: &Value) -> Result<Option<Uuid>, Failure> {
    Ok(Some(Uuid::parse_str(value.as_str().unwrap_or_default())?))
}

fn nanoseconds(time: Option<OffsetDateTime>) -> i64 {
    time.map_or(0, |time| time.unix_timestamp_nanos() as i64)
}

fn hex_map(values: &HashMap<String, Vec<u8>>) -> Value {
    Value::Object(values.iter().map(|(key, value)| (key.clone(), json!(hex(value)))).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Result<Vec<u8>, Failure> {
    let text = value.as_str().unwrap_or_default();
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
