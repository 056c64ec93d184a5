// The story of franz-go against a broker: every compression, idempotent and not, written and read back.
//
// Usage: franz-go BOOTSTRAP TOPIC-PREFIX. Prints one line per step; ends with 1 at the first thing that is not so.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const records = 300

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: franz-go BOOTSTRAP TOPIC-PREFIX")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		for _, idempotent := range []bool{true, false} {
			topic := fmt.Sprintf("%s-%s-%t", os.Args[2], name, idempotent)
			if err := roundTrip(ctx, os.Args[1], topic, codec, idempotent); err != nil {
				fmt.Printf("%s: %v\n", topic, err)
				os.Exit(1)
			}
			fmt.Printf("%s: %d records\n", topic, records)
		}
	}
}

func roundTrip(ctx context.Context, bootstrap, topic string, codec kgo.CompressionCodec, idempotent bool) error {
	options := []kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
	}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	for n := 0; n < records; n += 100 {
		batch := make([]*kgo.Record, 0, 100)
		for i := n; i < n+100; i++ {
			batch = append(batch, record(topic, i))
		}
		if err := client.ProduceSync(ctx, batch...).FirstErr(); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
	}
	return readBack(ctx, client, topic)
}

func readBack(ctx context.Context, client *kgo.Client, topic string) error {
	for n := 0; n < records; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("fetch at %d: %w", n, err)
		}
		for _, got := range fetches.Records() {
			want := record(topic, n)
			same := got.Offset == int64(n) && bytes.Equal(got.Key, want.Key) && bytes.Equal(got.Value, want.Value) &&
				slices.EqualFunc(got.Headers, want.Headers, sameHeader)
			if !same {
				return fmt.Errorf("record %d came back as offset %d: %q %q %q", n, got.Offset, got.Key, got.Value, got.Headers)
			}
			n++
		}
	}
	return nil
}

// A header without a value is not one with an empty value.
func sameHeader(got, want kgo.RecordHeader) bool {
	return got.Key == want.Key && bytes.Equal(got.Value, want.Value) && (got.Value == nil) == (want.Value == nil)
}

// Record n has n%4 headers: the number, one without a value, and one whose key came before.
func record(topic string, n int) *kgo.Record {
	headers := []kgo.RecordHeader{
		{Key: "n", Value: fmt.Appendf(nil, "%d", n)}, {Key: "none"}, {Key: "n", Value: []byte{0, 0xff, byte(n)}},
	}
	return &kgo.Record{
		Topic: topic, Partition: 0, Key: fmt.Appendf(nil, "key %d", n),
		Value:   bytes.Repeat(fmt.Appendf(nil, "value %d ", n), 1+n%40),
		Headers: headers[:n%4],
	}
}
