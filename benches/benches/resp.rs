//! Requests in, replies out: what the protocol alone costs.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perilune_resp::{Decoder, DecoderLimits, Protocol, ReplyWriter, RespWriter, encode_request};

/// Commands in one pipeline, and replies written in one go.
const PIPELINE: u64 = 16;
const REPLIES: u64 = 100;

fn decode_pipeline(c: &mut Criterion, name: &str, pipeline: &[u8]) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(PIPELINE));
    group.bench_function(name, |bencher| {
        let mut decoder = Decoder::new(DecoderLimits::default());
        bencher.iter(|| {
            let mut rest = black_box(pipeline);
            while let Ok(Some(consumed)) = decoder.decode(rest) {
                black_box(decoder.args(rest).map(<[u8]>::len).sum::<usize>());
                rest = &rest[consumed..];
            }
        });
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    let (mut bulks, mut inline) = (Vec::new(), Vec::new());
    for index in 0..PIPELINE {
        let key = format!("key:{index:012}");
        encode_request(["SET", &key, "xxxxxxxxxxxxxxxx"], &mut bulks);
        inline.extend_from_slice(format!("SET {key} xxxxxxxxxxxxxxxx\r\n").as_bytes());
    }
    decode_pipeline(c, "16 SET", &bulks);
    decode_pipeline(c, "16 SET inline", &inline);
}

fn write_replies(c: &mut Criterion, name: &str, write: impl Fn(&mut dyn ReplyWriter, u64)) {
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(REPLIES));
    group.bench_function(name, |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            let mut writer = RespWriter::new(&mut out, Protocol::Resp3);
            (0..REPLIES).for_each(|index| write(&mut writer, index));
            black_box(out.len())
        });
    });
    group.finish();
}

fn write(c: &mut Criterion) {
    let payload = [b'x'; 32];
    write_replies(c, "100 bulks of 32 bytes", |writer, _| writer.bulk(black_box(&payload)));
    write_replies(c, "100 small integers", |writer, index| writer.int(index as i64));
    write_replies(c, "100 large integers", |writer, index| writer.int(i64::MAX - index as i64));
    write_replies(c, "100 doubles", |writer, index| writer.double(index as f64 / 7.0));
    write_replies(c, "100 deferred pairs", |writer, index| {
        let at = writer.begin_deferred(perilune_resp::DeferredKind::Array);
        writer.bulk(b"member");
        writer.int(index as i64);
        writer.end_deferred(at, 2);
    });
}

criterion_group!(benches, decode, write);
criterion_main!(benches);
