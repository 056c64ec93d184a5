// The stories of sarama against a broker. Usage: sarama BOOTSTRAP TOPIC-PREFIX.
//
// Prints one line for each fact; ends with 1 at the first thing that is not so.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"klamm/tests/interop/story"
)

var bootstrap, prefix = story.Arguments()

func main() {
	admin, err := sarama.NewClusterAdmin([]string{bootstrap}, config())
	story.Must(err, "administrator")
	everyCodec(admin)
	positions()
	groups(admin)
	transactions(admin)
	administration(admin)
	story.Must(admin.Close(), "close")
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.MaxWaitTime = 20 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
	// A broker hears of a topic a moment after the controller answers.
	config.Metadata.Retry.Max = 200
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	config.Producer.Retry.Max = 50
	return config
}

func create(admin sarama.ClusterAdmin, topic string, partitions int32) {
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}
	story.Must(admin.CreateTopic(topic, detail, false), "create "+topic)
}

func message(topic string, n int) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{
		Topic: topic, Key: sarama.ByteEncoder(story.Key(n)), Value: sarama.ByteEncoder(story.Value(n)),
		Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: story.Header(n)}}, Timestamp: story.Time(n),
	}
}

func everyCodec(admin sarama.ClusterAdmin) {
	codecs := []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy,
		sarama.CompressionLZ4, sarama.CompressionZSTD}
	for _, codec := range codecs {
		topic := fmt.Sprintf("%s-codec-%s", prefix, codec)
		create(admin, topic, 1)
		settings := config()
		settings.Producer.Compression = codec
		if codec != sarama.CompressionNone {
			settings.Producer.Idempotent = true
			settings.Net.MaxOpenRequests = 1
		}
		producer, err := sarama.NewSyncProducer([]string{bootstrap}, settings)
		story.Must(err, "producer")
		var batch []*sarama.ProducerMessage
		for n := range story.Records {
			batch = append(batch, message(topic, n))
		}
		story.Must(producer.SendMessages(batch), "send")
		story.Must(producer.Close(), "close")
		for n, got := range read(topic, 0, story.Records, sarama.ReadUncommitted) {
			same := got.Offset == int64(n) && bytes.Equal(got.Key, story.Key(n)) && bytes.Equal(got.Value, story.Value(n)) &&
				got.Timestamp.Equal(story.Time(n)) && len(got.Headers) == 1 && bytes.Equal(got.Headers[0].Value, story.Header(n))
			story.Check(same, "%s: record %d came back as %d %q %q %v", topic, n, got.Offset, got.Key, got.Value, got.Timestamp)
		}
		fmt.Printf("codec %s: %d records\n", codec, story.Records)
	}
}

// read gives so many records from an offset on.
func read(topic string, from int64, count int, isolation sarama.IsolationLevel) []*sarama.ConsumerMessage {
	settings := config()
	settings.Consumer.IsolationLevel = isolation
	consumer, err := sarama.NewConsumer([]string{bootstrap}, settings)
	story.Must(err, "consumer")
	partition, err := consumer.ConsumePartition(topic, 0, from)
	story.Must(err, "consume")
	var found []*sarama.ConsumerMessage
	for len(found) < count {
		select {
		case message := <-partition.Messages():
			found = append(found, message)
		case <-time.After(time.Minute):
			story.Check(false, "%s: %d records after %d", topic, len(found), from)
		}
	}
	story.Must(partition.Close(), "close")
	story.Must(consumer.Close(), "close")
	return found
}

func positions() {
	topic := prefix + "-codec-gzip"
	fmt.Printf("seek to 25: %d\n", read(topic, 25, 1, sarama.ReadUncommitted)[0].Offset)
	client, err := sarama.NewClient([]string{bootstrap}, config())
	story.Must(err, "client")
	at := func(time int64) int64 {
		offset, err := client.GetOffset(topic, 0, time)
		story.Must(err, "offset")
		return offset
	}
	fmt.Printf("at time 30: %d\n", at(story.Time(30).UnixMilli()))
	late := "none"
	if offset := at(story.Time(story.Records).UnixMilli()); offset != -1 {
		late = fmt.Sprint(offset)
	}
	fmt.Printf("past the last time: %s\n", late)
	fmt.Printf("ends: %d %d\n", at(sarama.OffsetOldest), at(sarama.OffsetNewest))
	commits(client, prefix+"-codec-none")
	story.Must(client.Close(), "close")
}

func commits(client sarama.Client, topic string) {
	manager := func() (sarama.OffsetManager, sarama.PartitionOffsetManager) {
		all, err := sarama.NewOffsetManagerFromClient(prefix+"-commits", client)
		story.Must(err, "offsets")
		one, err := all.ManagePartition(topic, 0)
		story.Must(err, "offsets of a partition")
		return all, one
	}
	all, one := manager()
	one.MarkOffset(4, "note")
	all.Commit()
	story.Must(one.Close(), "close")
	story.Must(all.Close(), "close")
	all, one = manager()
	offset, note := one.NextOffset()
	fmt.Printf("committed: %d %s\n", offset, note)
	fmt.Printf("goes on at: %d\n", read(topic, offset, 1, sarama.ReadUncommitted)[0].Offset)
	story.Must(one.Close(), "close")
	story.Must(all.Close(), "close")
}

// member is one consumer of a group, for as long as it is not cancelled.
type member struct {
	number int
	group  *story.Group
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func (m *member) Setup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	m.group.Claim(m.number, int(claim.Partition()))
	defer m.group.Release(m.number, int(claim.Partition()))
	for message := range claim.Messages() {
		m.group.Saw(int(message.Partition), int(message.Offset))
		session.MarkMessage(message, "")
	}
	return nil
}

func join(number int, group *story.Group, id, topic string, strategy sarama.BalanceStrategy) *member {
	settings := config()
	settings.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	consumer, err := sarama.NewConsumerGroup([]string{bootstrap}, id, settings)
	story.Must(err, "group")
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{number: number, group: group, cancel: cancel}
	m.ended.Add(1)
	go func() {
		defer m.ended.Done()
		for ctx.Err() == nil {
			if err := consumer.Consume(ctx, []string{topic}, m); err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
				story.Must(err, "consume")
			}
		}
		story.Must(consumer.Close(), "leave")
	}()
	return m
}

func (m *member) leave() {
	m.cancel()
	m.ended.Wait()
}

func groups(admin sarama.ClusterAdmin) {
	topic := prefix + "-seven"
	create(admin, topic, story.Partitions)
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, config())
	story.Must(err, "producer")
	var batch []*sarama.ProducerMessage
	for n := range story.Partitions * story.Each {
		one := message(topic, n)
		one.Partition = int32(n % story.Partitions)
		batch = append(batch, one)
	}
	story.Must(producer.SendMessages(batch), "send")
	strategies := []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange(), sarama.NewBalanceStrategyRoundRobin(),
		sarama.NewBalanceStrategySticky(), sarama.NewBalanceStrategyCooperativeSticky()}
	for _, strategy := range strategies {
		spread(topic, strategy)
	}
	one := message(topic, 0)
	one.Partition = 3
	_, _, err = producer.SendMessage(one)
	story.Must(err, "send")
	story.Must(producer.Close(), "close")
	seen := story.NewGroup()
	follower := join(0, seen, prefix+"-range", topic, strategies[0])
	story.Eventually("one more record", func() bool { return seen.Seen() == 1 })
	follower.leave()
	fmt.Printf("the group goes on with: %v\n", seen.All())
}

func spread(topic string, strategy sarama.BalanceStrategy) {
	name := strategy.Name()
	group := story.NewGroup()
	var members []*member
	for number := range 3 {
		members = append(members, join(number, group, prefix+"-"+name, topic, strategy))
	}
	found := group.Spread(3)
	if strings.Contains(name, "sticky") {
		found = "even"
	}
	fmt.Printf("%s: %s\n", name, found)
	story.Eventually("every record", func() bool { return group.Seen() == story.Partitions*story.Each })
	fmt.Printf("%s read: %d records\n", name, group.Seen())
	members[0].leave()
	fmt.Printf("%s after one left: %s\n", name, group.Sizes(2))
	members[1].leave()
	members[2].leave()
}

func transactions(admin sarama.ClusterAdmin) {
	ledger, copied := prefix+"-ledger", prefix+"-copied"
	create(admin, ledger, 1)
	create(admin, copied, 1)
	clerk := transactional()
	for _, part := range []struct {
		name   string
		count  int
		commit bool
	}{{"a", 3, true}, {"b", 3, false}, {"c", 2, true}} {
		story.Must(clerk.BeginTxn(), "begin")
		for n := range part.count {
			write(clerk, ledger, fmt.Sprintf("%s%d", part.name, n))
		}
		end(clerk, part.commit)
	}
	fmt.Printf("uncommitted: %s\n", values(ledger, 8, sarama.ReadUncommitted))
	fmt.Printf("committed: %s\n", values(ledger, 5, sarama.ReadCommitted))
	fmt.Printf("piped, aborted: %s\n", pipe(admin, clerk, ledger, copied, false))
	fmt.Printf("piped, committed: %s\n", pipe(admin, clerk, ledger, copied, true))
	fmt.Printf("copied: %s\n", values(copied, 5, sarama.ReadCommitted))
	fenced(clerk, ledger)
}

func transactional() sarama.SyncProducer {
	settings := config()
	settings.Producer.Idempotent = true
	settings.Net.MaxOpenRequests = 1
	settings.Producer.Transaction.ID = prefix + "-clerk"
	settings.Producer.Transaction.Retry.Backoff = 20 * time.Millisecond
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, settings)
	story.Must(err, "transactional producer")
	return producer
}

func write(producer sarama.SyncProducer, topic, value string) {
	_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	story.Must(err, "send "+value)
}

func end(producer sarama.SyncProducer, commit bool) {
	if commit {
		story.Must(producer.CommitTxn(), "commit")
	} else {
		story.Must(producer.AbortTxn(), "abort")
	}
}

func values(topic string, count int, isolation sarama.IsolationLevel) string {
	var found []string
	for _, message := range read(topic, 0, count, isolation) {
		found = append(found, string(message.Value))
	}
	return strings.Join(found, " ")
}

// pipe copies what is committed in upper case, and says where the group is afterwards.
func pipe(admin sarama.ClusterAdmin, producer sarama.SyncProducer, source, target string, commit bool) string {
	group := prefix + "-pipe"
	found := read(source, 0, 5, sarama.ReadCommitted)
	story.Must(producer.BeginTxn(), "begin")
	for _, message := range found {
		write(producer, target, strings.ToUpper(string(message.Value)))
	}
	place := map[string][]*sarama.PartitionOffsetMetadata{source: {{Partition: 0, Offset: found[4].Offset + 1}}}
	story.Must(producer.AddOffsetsToTxn(place, group), "offsets")
	end(producer, commit)
	offset := int64(-1)
	// The group hears of the end a moment after the producer does.
	story.Eventually("the group has its place", func() bool {
		told, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{source: {0}})
		story.Must(err, "offsets of the group")
		offset = told.GetBlock(source, 0).Offset
		return !commit || offset >= 0
	})
	if offset < 0 {
		return "none"
	}
	return fmt.Sprint(offset)
}

func fenced(first sarama.SyncProducer, topic string) {
	second := transactional()
	story.Must(first.BeginTxn(), "begin")
	_, _, err := first.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("late")})
	if err == nil {
		err = first.CommitTxn()
	}
	if err == nil {
		fmt.Println("fenced: no")
	} else {
		fmt.Println("fenced: yes")
	}
	story.Must(second.Close(), "close")
}

func administration(admin sarama.ClusterAdmin) {
	topic, retention := prefix+"-admin", "123456"
	detail := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"retention.ms": &retention}}
	story.Must(admin.CreateTopic(topic, detail, false), "create")
	if errors.Is(admin.CreateTopic(topic, detail, false), sarama.ErrTopicAlreadyExists) {
		fmt.Println("created twice: refused")
	}
	story.Must(admin.CreatePartitions(topic, 5, nil, false), "grow")
	// A broker hears of it a moment after the controller answers.
	story.Eventually("five partitions", func() bool {
		told, err := admin.DescribeTopics([]string{topic})
		return err == nil && len(told[0].Partitions) == 5
	})
	fmt.Println("partitions: 5")
	fmt.Printf("retention: %s\n", setting(admin, topic))
	longer := "654321"
	entry := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &longer}
	changes := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": entry}
	story.Must(admin.IncrementalAlterConfig(sarama.TopicResource, topic, changes, false), "alter")
	story.Eventually("another retention", func() bool { return setting(admin, topic) == longer })
	fmt.Printf("retention: %s\n", longer)
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, config())
	story.Must(err, "producer")
	for n := range story.Each {
		write(producer, topic, fmt.Sprint(n))
	}
	story.Must(producer.Close(), "close")
	story.Must(admin.DeleteRecords(topic, map[int32]int64{0: 6}), "delete records")
	fmt.Printf("after deletion the first is: %d\n", read(topic, sarama.OffsetOldest, 1, sarama.ReadUncommitted)[0].Offset)
	story.Must(admin.DeleteConsumerGroup(prefix+"-commits"), "delete group")
	left, err := admin.ListConsumerGroups()
	story.Must(err, "list groups")
	_, there := left[prefix+"-commits"]
	story.Check(!there, "the group is there")
	fmt.Println("the group is gone")
	story.Must(admin.DeleteTopic(topic), "delete")
	story.Eventually("the topic goes", func() bool {
		topics, err := admin.ListTopics()
		_, there := topics[topic]
		return err == nil && !there
	})
	fmt.Println("the topic is gone")
}

func setting(admin sarama.ClusterAdmin, topic string) string {
	resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}
	told, err := admin.DescribeConfig(resource)
	story.Must(err, "describe")
	return told[0].Value
}
