// The stories of kafka-go against a broker. Usage: kafka-go BOOTSTRAP TOPIC-PREFIX.
//
// Prints one line for each fact; ends with 1 at the first thing that is not so. This library has no transactions.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"klamm/tests/interop/story"
)

var (
	bootstrap, prefix = story.Arguments()
	client            = &kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: 30 * time.Second}
	ctx               = context.Background()
)

func main() {
	everyCodec()
	positions()
	commits()
	groups()
	administration()
}

func create(topic string, partitions int, entries ...kafka.ConfigEntry) error {
	config := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}})
	story.Must(err, "create "+topic)
	return answer.Errors[topic]
}

// toPartition is a balancer that obeys.
type toPartition int

func (p toPartition) Balance(kafka.Message, ...int) int { return int(p) }

func writer(topic string, partition int, codec kafka.Compression) *kafka.Writer {
	return &kafka.Writer{Addr: kafka.TCP(bootstrap), Topic: topic, Balancer: toPartition(partition), Compression: codec,
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond}
}

func message(n int) kafka.Message {
	return kafka.Message{Key: story.Key(n), Value: story.Value(n), Time: story.Time(n),
		Headers: []kafka.Header{{Key: "n", Value: story.Header(n)}}}
}

func write(w *kafka.Writer, from, to int) {
	var batch []kafka.Message
	for n := from; n < to; n++ {
		batch = append(batch, message(n))
	}
	// The first write may come before the broker has heard of the topic.
	story.Eventually("written", func() bool {
		err := w.WriteMessages(ctx, batch...)
		if !errors.Is(err, kafka.UnknownTopicOrPartition) {
			story.Must(err, "write")
		}
		return err == nil
	})
	story.Must(w.Close(), "close")
}

func everyCodec() {
	codecs := []struct {
		name  string
		codec kafka.Compression
	}{{"none", 0}, {"gzip", kafka.Gzip}, {"snappy", kafka.Snappy}, {"lz4", kafka.Lz4}, {"zstd", kafka.Zstd}}
	for _, c := range codecs {
		topic := prefix + "-codec-" + c.name
		story.Must(create(topic, 1), "create")
		write(writer(topic, 0, c.codec), 0, story.Records)
		reader := readerFrom(topic, kafka.FirstOffset)
		for n := range story.Records {
			got := next(reader)
			same := got.Offset == int64(n) && bytes.Equal(got.Key, story.Key(n)) && bytes.Equal(got.Value, story.Value(n)) &&
				got.Time.Equal(story.Time(n)) && len(got.Headers) == 1 && bytes.Equal(got.Headers[0].Value, story.Header(n))
			story.Check(same, "%s: record %d came back as %d %q %q %v", topic, n, got.Offset, got.Key, got.Value, got.Time)
		}
		story.Must(reader.Close(), "close")
		fmt.Printf("codec %s: %d records\n", c.name, story.Records)
	}
}

func readerFrom(topic string, offset int64) *kafka.Reader {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, Topic: topic, MaxWait: 20 * time.Millisecond})
	story.Must(reader.SetOffset(offset), "seek")
	return reader
}

func next(reader *kafka.Reader) kafka.Message {
	soon, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	message, err := reader.FetchMessage(soon)
	story.Must(err, "fetch")
	return message
}

func firstFrom(topic string, offset int64) int64 {
	reader := readerFrom(topic, offset)
	defer reader.Close()
	return next(reader).Offset
}

func positions() {
	topic := prefix + "-codec-gzip"
	fmt.Printf("seek to 25: %d\n", firstFrom(topic, 25))
	at := func(time time.Time) string {
		offset := listOffset(topic, kafka.TimeOffsetOf(0, time))
		for found := range offset.Offsets {
			if found >= 0 {
				return fmt.Sprint(found)
			}
		}
		return "none"
	}
	fmt.Printf("at time 30: %s\n", at(story.Time(30)))
	fmt.Printf("past the last time: %s\n", at(story.Time(story.Records)))
	first, last := listOffset(topic, kafka.FirstOffsetOf(0)), listOffset(topic, kafka.LastOffsetOf(0))
	fmt.Printf("ends: %d %d\n", first.FirstOffset, last.LastOffset)
}

func listOffset(topic string, request kafka.OffsetRequest) kafka.PartitionOffsets {
	topics := map[string][]kafka.OffsetRequest{topic: {request}}
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: topics})
	story.Must(err, "offsets")
	story.Must(answer.Topics[topic][0].Error, "offsets")
	return answer.Topics[topic][0]
}

func commits() {
	topic, group := prefix+"-codec-none", prefix+"-commits"
	place := map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: 4, Metadata: "note"}}}
	request := &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: place}
	// The coordinator may be loading its first group.
	story.Eventually("committed", func() bool {
		answer, err := client.OffsetCommit(ctx, request)
		return err == nil && answer.Topics[topic][0].Error == nil
	})
	told, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	story.Must(err, "fetch offsets")
	found := told.Topics[topic][0]
	fmt.Printf("committed: %d %s\n", found.CommittedOffset, found.Metadata)
	fmt.Printf("goes on at: %d\n", firstFrom(topic, found.CommittedOffset))
}

// member is one consumer of a group, until it leaves.
type member struct {
	group  *kafka.ConsumerGroup
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func join(number int, group *story.Group, id, topic string, balancer kafka.GroupBalancer) *member {
	joined, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: id, Brokers: []string{bootstrap}, Topics: []string{topic},
		GroupBalancers: []kafka.GroupBalancer{balancer}, HeartbeatInterval: 100 * time.Millisecond,
		JoinGroupBackoff: 50 * time.Millisecond, StartOffset: kafka.FirstOffset})
	story.Must(err, "group")
	until, cancel := context.WithCancel(ctx)
	m := &member{group: joined, cancel: cancel}
	m.ended.Add(1)
	go func() {
		defer m.ended.Done()
		for until.Err() == nil {
			// Between two generations it may say that one came to nothing: it joins again.
			if generation, err := joined.Next(until); err == nil {
				for _, assigned := range generation.Assignments[topic] {
					generation.Start(func(ctx context.Context) { consume(ctx, number, group, generation, topic, assigned) })
				}
			}
		}
	}()
	return m
}

func consume(
	ctx context.Context, number int, group *story.Group, generation *kafka.Generation, topic string, assigned kafka.PartitionAssignment,
) {
	group.Claim(number, assigned.ID)
	defer group.Release(number, assigned.ID)
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, Topic: topic, Partition: assigned.ID,
		MaxWait: 20 * time.Millisecond})
	defer reader.Close()
	story.Must(reader.SetOffset(assigned.Offset), "seek")
	for {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return
		}
		group.Saw(message.Partition, int(message.Offset))
		// A generation that has ended commits nothing; who comes after it reads the record again.
		_ = generation.CommitOffsets(map[string]map[int]int64{topic: {message.Partition: message.Offset + 1}})
	}
}

func (m *member) leave() {
	m.cancel()
	story.Must(m.group.Close(), "leave")
	m.ended.Wait()
}

func groups() {
	topic := prefix + "-seven"
	story.Must(create(topic, story.Partitions), "create")
	for partition := range story.Partitions {
		write(writer(topic, partition, 0), 0, story.Each)
	}
	spread(topic, "range", kafka.RangeGroupBalancer{})
	spread(topic, "roundrobin", kafka.RoundRobinGroupBalancer{})
	write(writer(topic, 3, 0), story.Each, story.Each+1)
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, GroupID: prefix + "-range", Topic: topic,
		MaxWait: 20 * time.Millisecond, JoinGroupBackoff: 50 * time.Millisecond, StartOffset: kafka.FirstOffset})
	message := next(reader)
	story.Must(reader.CommitMessages(ctx, message), "commit")
	fmt.Printf("the group goes on with: [(%d, %d)]\n", message.Partition, message.Offset)
	story.Must(reader.Close(), "close")
}

func spread(topic, name string, balancer kafka.GroupBalancer) {
	group := story.NewGroup()
	var members []*member
	for number := range 3 {
		members = append(members, join(number, group, prefix+"-"+name, topic, balancer))
	}
	fmt.Printf("%s: %s\n", name, group.Spread(3))
	story.Eventually("every record", func() bool { return group.Seen() == story.Partitions*story.Each })
	fmt.Printf("%s read: %d records\n", name, group.Seen())
	members[0].leave()
	fmt.Printf("%s after one left: %s\n", name, group.Sizes(2))
	members[1].leave()
	members[2].leave()
}

func administration() {
	topic := prefix + "-admin"
	story.Must(create(topic, 3, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "123456"}), "create")
	if errors.Is(create(topic, 3), kafka.TopicAlreadyExists) {
		fmt.Println("created twice: refused")
	}
	grown, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 5}}})
	story.Must(err, "grow")
	story.Must(grown.Errors[topic], "grow")
	// A broker hears of it a moment after the controller answers.
	story.Eventually("five partitions", func() bool { return partitions(topic) == 5 })
	fmt.Println("partitions: 5")
	fmt.Printf("retention: %s\n", retention(topic))
	change := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "retention.ms", Value: "654321", ConfigOperation: kafka.ConfigOperationSet}}}
	altered, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{change}})
	story.Must(err, "alter")
	story.Must(altered.Resources[0].Error, "alter")
	story.Eventually("another retention", func() bool { return retention(topic) == "654321" })
	fmt.Println("retention: 654321")
	group := prefix + "-commits"
	deleted, err := client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	story.Must(err, "delete group")
	story.Must(deleted.Errors[group], "delete group")
	left, err := client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	story.Must(err, "list groups")
	for _, one := range left.Groups {
		story.Check(one.GroupID != group, "the group is there")
	}
	fmt.Println("the group is gone")
	dropped, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	story.Must(err, "delete")
	story.Must(dropped.Errors[topic], "delete")
	story.Eventually("the topic goes", func() bool { return partitions(topic) == 0 })
	fmt.Println("the topic is gone")
}

func partitions(topic string) int {
	told, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	story.Must(err, "metadata")
	return len(told.Topics[0].Partitions)
}

func retention(topic string) string {
	answer, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}}})
	story.Must(err, "describe")
	return answer.Resources[0].ConfigEntries[0].ConfigValue
}
