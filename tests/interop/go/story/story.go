// Package story is what the programs for the Go libraries have in common: the records they write, and what they say of a
// group. Every program prints the same lines for the same facts, so one expectation serves all libraries and both brokers.
package story

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// Records of each compression.
	Records = 40
	// Partitions of the topic that groups share.
	Partitions = 7
	// Each partition of that topic has so many records.
	Each = 10
)

const patience = time.Minute

// T0 is the timestamp of record 0: recent, or retention takes what was just written.
var T0 = time.Now().Truncate(time.Millisecond).Add(-time.Hour)

// Key of record number n.
func Key(n int) []byte { return fmt.Appendf(nil, "key %d", n) }

// Value of record number n.
func Value(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "value %d ", n), 1+n%9) }

// Header of record number n, under the name n.
func Header(n int) []byte { return fmt.Appendf(nil, "%d", n) }

// Time of record number n.
func Time(n int) time.Time { return T0.Add(time.Duration(n) * time.Millisecond) }

// Must ends the program at the first thing that is not so.
func Must(err error, what string) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

// Check ends the program if something is not so.
func Check(so bool, format string, facts ...any) {
	if !so {
		fmt.Printf(format+"\n", facts...)
		os.Exit(1)
	}
}

// Eventually waits for something, far longer than it needs.
func Eventually(what string, so func() bool) {
	for until := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
		Check(time.Now().Before(until), "waited in vain: %s", what)
	}
}

// Arguments of every program: the address of a broker, and what the names of its topics begin with.
func Arguments() (bootstrap, prefix string) {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM BOOTSTRAP TOPIC-PREFIX")
		os.Exit(2)
	}
	return os.Args[1], os.Args[2]
}

// Group is what is known of the members of a group; members tell it from their goroutines.
type Group struct {
	lock   sync.Mutex
	claims map[int][]int
	seen   map[[2]int]bool
}

// NewGroup without members.
func NewGroup() *Group {
	return &Group{claims: map[int][]int{}, seen: map[[2]int]bool{}}
}

// Claim says that a member has a partition from now on.
func (g *Group) Claim(member, partition int) {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.claims[member] = append(g.claims[member], partition)
}

// Release says that a member has it no longer.
func (g *Group) Release(member, partition int) {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.claims[member] = slices.DeleteFunc(g.claims[member], func(claimed int) bool { return claimed == partition })
	if len(g.claims[member]) == 0 {
		delete(g.claims, member)
	}
}

// Saw a record.
func (g *Group) Saw(partition, offset int) {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.seen[[2]int{partition, offset}] = true
}

// Seen is how many different records the group has read.
func (g *Group) Seen() int {
	g.lock.Lock()
	defer g.lock.Unlock()
	return len(g.seen)
}

// All records that the group has read: each a partition and an offset.
func (g *Group) All() string {
	g.lock.Lock()
	defer g.lock.Unlock()
	var all []string
	for place := range g.seen {
		all = append(all, fmt.Sprintf("(%d, %d)", place[0], place[1]))
	}
	slices.Sort(all)
	return "[" + strings.Join(all, ", ") + "]"
}

// Spread waits until so many members share the partitions evenly, and says who has which.
func (g *Group) Spread(members int) string {
	var found [][]int
	share := func() bool {
		g.lock.Lock()
		defer g.lock.Unlock()
		found = nil
		for _, claimed := range g.claims {
			found = append(found, slices.Sorted(slices.Values(claimed)))
		}
		return len(found) == members && areEven(found)
	}
	Eventually("partitions are spread", share)
	slices.SortFunc(found, slices.Compare)
	var text strings.Builder
	for _, claimed := range found {
		text.WriteString(strings.ReplaceAll(fmt.Sprint(claimed), " ", ","))
	}
	return text.String()
}

// Sizes waits as Spread does, and says how many each has, the least first.
func (g *Group) Sizes(members int) string {
	var sizes []string
	for _, claimed := range strings.Split(strings.Trim(g.Spread(members), "[]"), "][") {
		sizes = append(sizes, fmt.Sprint(1+strings.Count(claimed, ",")))
	}
	slices.Sort(sizes)
	return "[" + strings.Join(sizes, ", ") + "]"
}

// areEven says whether each partition belongs to one member, and no member has too many.
func areEven(shares [][]int) bool {
	owned, sizes := map[int]bool{}, []int{}
	for _, share := range shares {
		sizes = append(sizes, len(share))
		for _, partition := range share {
			if owned[partition] {
				return false
			}
			owned[partition] = true
		}
	}
	return len(owned) == Partitions && slices.Max(sizes)-slices.Min(sizes) <= 1
}
